/**
 * Every parameter, once: its name in job files, its type, its default and its help. Flags, checks, help texts, the options of the library and the
 * types of the settings are all derived from these tables. Names and defaults are those of the hosted trainer, fal.ai's `fal-ai/ltx23-trainer-v2/a2a`.
 * `hosted` is the range of a parameter there where that is smaller; `extension` marks parameters that it does not have.
 */
import {
  choice,
  countOrShare,
  integer,
  listOf,
  name,
  number,
  numberBelow,
  path,
  paths,
  phrase,
  positive,
  range,
  text,
  toggle,
  wordOrInteger,
} from './parameter.ts'
import { hostedValidationList, validationFlags, validationList } from './values.ts'

/**
 * The default negative prompt: failures of the model in what is heard and when. It names no property of the sound itself, such as noise, room, distortion,
 * bandwidth or pitch, because these are what a LoRA may be meant to produce: guidance would work against it.
 */
export const defaultNegativePrompt = [
  'garbled speech',
  'stutter',
  'repeated fragments',
  'dropouts',
  'sudden silence',
  'abrupt cuts',
  'unbalanced channels',
].join(', ')

/** The ten linear layers of the audio stream that the reference's audio-to-audio recipe adapts (reference §7.5). */
export const loraTargetModules = [
  ...['audio_attn1', 'audio_attn2'].flatMap((attention) =>
    ['to_k', 'to_q', 'to_v', 'to_out.0'].map((projection) => `${attention}.${projection}`),
  ),
  'audio_ff.net.0.proj',
  'audio_ff.net.2',
]

const extension = true

const data = { group: 'Data' }
const lora = { group: 'LoRA' }
const training = { group: 'Training' }
const evaluation = { group: 'Evaluation' }
const previews = { group: 'Previews' }
const sound = { group: 'Sound' }
const sampling = { group: 'Sampling' }
const output = { group: 'Output' }
const machine = { group: 'Model and machine' }

/** The longest clip that can be trained on, in seconds. */
export const maxClipSeconds = 60

/** In characters. A trigger phrase is a word or a few; the text encoder reads 1024 tokens in all. */
const longestTriggerPhrase = 500

const maxSteps = 1_000_000
const seconds = { ...number(0.1, maxClipSeconds), hosted: number(0.5, maxClipSeconds) }
const stgScale = {
  ...number(0, 10),
  hosted: number(0, 3),
  default: 1,
  help: 'scale of spatio-temporal guidance; 0 turns it off, which is faster',
}
const samplingSteps = { ...integer(1, 1000), default: 30, help: 'sampling steps' }
const cfg = { ...number(1, 30), default: 7, help: 'how closely the prompt is followed' }
const seed = { ...integer(0, 2 ** 32 - 1), default: 42, extension, help: 'the same seed gives the same result' }
const negativePrompt = {
  ...text(),
  default: defaultNegativePrompt,
  defaultText: 'a list of failures of the model',
  help: 'what the result should not sound like',
}

/** What makes sound of spectrograms: `auto` is the vocoder where the base has one. */
const rendererChoices = ['auto', 'vocoder', 'griffin-lim'] as const

export type RendererChoice = (typeof rendererChoices)[number]

const renderer = {
  ...choice(rendererChoices),
  extension,
  default: 'auto' as const,
  help: 'what makes sound of spectrograms: the vocoder; or griffin-lim, which reconstructs the phases, is faster and ends at 8 kHz; auto takes the vocoder where the model has one',
}

const machineParameters = {
  model: {
    ...machine,
    ...paths('<file>'),
    extension,
    defaultText: 'the small bundled base',
    help: 'checkpoint of LTX-2.3 or LTX-2.5: file or folder; several with commas between, or repeated',
  },
  text_encoder: {
    ...machine,
    ...path('<path>'),
    extension,
    defaultText: 'the one in the folder of the model',
    help: 'the text encoder: the folder of Gemma 3, or the packed file of LTX-2.5',
  },
  text_embeddings: {
    ...machine,
    ...path('<file>'),
    extension,
    defaultText: 'none',
    help: 'captions encoded by encode-captions, in place of the text encoder',
  },
  backend: {
    ...machine,
    ...choice(['auto', 'tensorflow', 'webgpu', 'wasm', 'cpu']),
    extension,
    default: 'auto' as const,
    help: 'what the model runs on; auto takes the fastest that works',
  },
}

/** The parameters that decide how a dataset is used. */
const dataParameters = {
  training_data_url: {
    ...data,
    ...path('<zip>'),
    alias: 'data',
    optionName: 'data',
    required: true as const,
    help: 'zip, folder or URL of recordings <name>_start and <name>_end, captions <name>.txt',
  },
  trigger_phrase: {
    ...data,
    ...phrase(longestTriggerPhrase),
    default: '',
    defaultText: 'none',
    help: 'placed before every caption',
  },
  audio_duration_seconds: { ...data, ...seconds, default: 5, help: 'length of a clip; shorter pairs are skipped' },
  windows: {
    ...data,
    ...choice(['first', 'all', 'random']),
    extension,
    default: 'first' as const,
    help: 'what is used of longer pairs: the first clip, all of them in consecutive clips, or a clip from a random place in each step',
  },
  audio_normalize: { ...data, ...toggle(), default: true, help: "bring every clip's peak to -1 dBFS" },
  audio_preserve_pitch: {
    ...data,
    ...toggle(),
    default: true,
    help: 'stretch pairs that are up to 10 % too long, instead of trimming them',
  },
  split_input_into_scenes: {
    ...data,
    ...toggle(),
    default: false,
    help: 'must stay false: the sides of a pair would lose their sync',
  },
  split_input_duration_threshold: {
    ...data,
    ...number(1, 60),
    default: 30,
    help: 'seconds, for split_input_into_scenes',
  },
}

export const trainParameters = {
  ...dataParameters,

  rank: {
    ...lora,
    ...integer(1, 1024),
    hosted: choice([8, 16, 32, 64, 128]),
    default: 32,
    help: 'rank of the LoRA matrices',
  },
  alpha: {
    ...lora,
    ...positive(1024),
    extension,
    defaultText: 'the rank',
    help: 'the LoRA is scaled by alpha / rank',
  },
  target_modules: {
    ...lora,
    ...listOf(name('<name,…>'), ','),
    extension,
    default: loraTargetModules,
    defaultText: 'all ten of the audio stream',
    help: 'layers to adapt, by the ends of their names',
  },

  number_of_steps: {
    ...training,
    ...integer(1, maxSteps),
    hosted: integer(100, 20000),
    default: 2000,
    help: 'optimizer steps',
  },
  learning_rate: {
    ...training,
    ...positive(1),
    hosted: number(1e-6, 1),
    default: 0.0002,
    help: 'learning rate of the first step',
  },
  learning_rate_schedule: {
    ...training,
    ...choice(['linear', 'constant', 'cosine']),
    extension,
    default: 'linear' as const,
    help: 'linear decays to 10 %, cosine to 0',
  },
  gradient_accumulation: { ...training, ...integer(1, 256), extension, default: 1, help: 'pairs per optimizer step' },
  seed: { ...training, ...seed },
  ema: {
    ...training,
    ...numberBelow(0, 1),
    extension,
    default: 0,
    defaultText: '0, none',
    help: 'also average the LoRA over the steps, with this decay, such as 0.99',
  },

  holdout: {
    ...evaluation,
    ...countOrShare(),
    extension,
    default: 0,
    defaultText: '0, none',
    help: 'pairs that are not trained on, to measure the LoRA with',
  },
  holdout_data: {
    ...evaluation,
    ...path('<zip>'),
    extension,
    defaultText: 'none',
    help: 'a dataset of pairs to hold out, in place of --holdout',
  },
  eval_interval: {
    ...evaluation,
    ...integer(0, maxSteps),
    extension,
    defaultText: '100 with held-out pairs, else the checkpoint interval',
    help: 'how often losses are evaluated, in steps; 0 is only at the end',
  },
  patience: {
    ...evaluation,
    ...integer(0, maxSteps),
    extension,
    default: 0,
    defaultText: '0, never',
    help: 'stop after so many evaluations without a lower held-out loss',
  },
  holdout_previews: {
    ...evaluation,
    ...integer(0, 16),
    extension,
    default: 2,
    help: 'how many of the held-out pairs are previewed',
  },

  validation: {
    ...previews,
    ...validationList,
    hosted: hostedValidationList,
    default: [],
    compositeFlags: validationFlags,
    help: 'recordings to transform, with their prompts',
  },
  validation_negative_prompt: { ...previews, ...negativePrompt },
  validation_frame_rate: {
    ...previews,
    ...number(1, 1000),
    hosted: number(8, 60),
    default: 24,
    help: 'the length of a preview is rounded to whole frames at this rate',
  },
  stg_scale: { ...previews, ...stgScale },
  preview_interval: {
    ...previews,
    ...integer(0, maxSteps),
    extension,
    default: 250,
    help: 'in steps; 0 is only at the end',
  },
  preview_steps: { ...previews, ...samplingSteps, extension },
  preview_cfg: { ...previews, ...cfg, extension },
  renderer: { ...previews, ...renderer },

  out: {
    ...output,
    ...path('<folder>'),
    extension,
    defaultText: 'runs/<dataset>-<date-time>',
    help: 'the folder of the run',
  },
  checkpoint_interval: {
    ...output,
    ...integer(0, maxSteps),
    extension,
    default: 250,
    help: 'in steps; 0 is only at the end',
  },
  keep_checkpoints: {
    ...output,
    ...wordOrInteger('all', 1, maxSteps),
    extension,
    default: 'all' as const,
    help: 'how many checkpoints to keep; older ones are removed',
  },
  debug_dataset: {
    ...output,
    ...toggle(),
    default: false,
    help: 'also write the fitted clips as a zip; with --windows random the first clip of each pair',
  },

  ...machineParameters,
  recompute: {
    ...machine,
    ...choice(['auto', 'on', 'off']),
    extension,
    default: 'auto' as const,
    help: 'activation checkpointing: a third slower, needs less memory for long clips',
  },
  ignore_requirements: {
    ...machine,
    ...toggle(),
    extension,
    default: false,
    help: 'start even if the run is estimated to be too large for this machine',
  },
}

/** `inspect-dataset` searches the current folder when no dataset is named. */
export const inspectParameters = {
  ...dataParameters,
  training_data_url: {
    ...dataParameters.training_data_url,
    required: false as const,
    defaultText: 'the zip in this folder',
  },
}

/** The reasons for which `fix-dataset` rejects pairs that a training could use. */
export const rejectionReasons = ['silent', 'clipped', 'duplicate'] as const

export const fixParameters = {
  audio_duration_seconds: {
    ...dataParameters.audio_duration_seconds,
    help: 'length of a clip; a pair is silent, and rejected, if no clip has sound on both sides',
  },
  keep: {
    ...data,
    ...listOf(choice(rejectionReasons), ','),
    extension,
    default: [],
    defaultText: 'none',
    help: 'pairs to keep although they are silent, clipped or duplicates; several with commas between, or repeated',
  },
}

/** The effects that `make-pairs` knows by name. */
export const effectPresets = ['telephone', 'radio', 'vinyl', 'room', 'mp3', 'mp3-64k', 'clipping', 'noise'] as const

export type EffectPreset = (typeof effectPresets)[number]

const pairs = { group: 'Pairs', extension }

export const makePairsParameters = {
  clean: {
    ...pairs,
    ...listOf(path('<path>')),
    required: true as const,
    help: 'folder, zip, URL or file of clean recordings; may be repeated',
  },
  effect: {
    ...pairs,
    ...text(),
    required: true as const,
    help: `${effectPresets.slice(0, -1).join(', ')} or ${effectPresets.at(-1)}; or a filter graph of ffmpeg such as highpass=f=300,acrusher=bits=6`,
  },
  direction: {
    ...pairs,
    ...choice(['restore', 'apply']),
    default: 'restore' as const,
    help: 'restore: _start has the effect and _end is clean, for a LoRA that removes the effect; apply: the reverse',
  },
  snr: {
    ...pairs,
    ...range(-20, 80),
    default: { from: 5, to: 30 },
    defaultText: '5:30',
    help: 'for noise: the signal-to-noise ratio in dB, drawn for each pair; a single number is used for all',
  },
  seed: { ...pairs, ...seed, help: 'the same seed draws the same strengths and gives the same bytes' },
}

/** The parameters that decide which texts are encoded, and by which model. */
export const encodeParameters = {
  training_data_url: dataParameters.training_data_url,
  holdout_data: trainParameters.holdout_data,
  trigger_phrase: dataParameters.trigger_phrase,
  prompt: {
    ...data,
    ...listOf(text()),
    extension,
    default: [],
    defaultText: 'none',
    help: 'a further text to encode; may be repeated',
  },
  validation: trainParameters.validation,
  validation_negative_prompt: trainParameters.validation_negative_prompt,
  model: machineParameters.model,
  text_encoder: machineParameters.text_encoder,
  backend: machineParameters.backend,
}

const samplingParameters = {
  seed: { ...sampling, ...seed },
  steps: { ...sampling, ...samplingSteps },
  cfg: { ...sampling, ...cfg },
  stg_scale: { ...sampling, ...stgScale },
  renderer: { ...sampling, ...renderer },
}

export const previewParameters = {
  lora: { ...lora, ...listOf(path('<file>')), default: [], defaultText: 'the base alone', help: 'may be repeated' },
  lora_strength: {
    ...lora,
    ...listOf(number(-10, 10)),
    default: [],
    defaultText: '1',
    help: 'strength of the corresponding --lora; may be repeated',
  },
  reference: {
    ...sound,
    ...path('<file>'),
    alias: 'ref',
    required: true as const,
    help: 'the recording to transform, a file or URL',
  },
  normalize_reference: {
    ...sound,
    ...toggle(),
    defaultText: "as in the LoRA's training, on if unknown",
    help: "bring the recording's peak to -1 dBFS",
  },
  prompt: { ...sound, ...text(), defaultText: "the LoRA's trigger phrase", help: 'what the recording should become' },
  negative_prompt: { ...sound, ...negativePrompt },
  duration: {
    ...sound,
    ...seconds,
    defaultText: "the recording's, at most that of the LoRA's clips",
    help: 'length of the result in seconds',
  },
  ...samplingParameters,
  out: {
    ...output,
    ...path('<file>'),
    default: 'preview.wav',
    help: 'the sound to write, 48 kHz stereo; the extension decides the format',
  },
  ...machineParameters,
}

export const applyParameters = {
  lora: previewParameters.lora,
  lora_strength: { ...previewParameters.lora_strength, alias: 'strength' },
  inputs: {
    ...sound,
    ...listOf(path('<path...>')),
    alias: 'in',
    required: true as const,
    help: 'the recordings to transform: files, folders, patterns such as "takes/*.wav", or URLs',
  },
  normalize_reference: {
    ...previewParameters.normalize_reference,
    help: 'bring the peak of each recording to -1 dBFS before it is transformed; the result gets its level back',
  },
  prompt: { ...previewParameters.prompt, help: 'what the recordings should become' },
  negative_prompt: previewParameters.negative_prompt,
  mix: {
    ...sound,
    ...number(0, 1),
    default: 1,
    help: 'how much of the result is transformed: 1 is all of it, 0.5 is half the recording as it was',
  },
  window: {
    ...sampling,
    ...number(0.5, maxClipSeconds),
    defaultText: "the length of the LoRA's clips",
    help: 'seconds that the model transforms at a time; longer ones need more memory',
  },
  ...samplingParameters,
  out: {
    ...output,
    ...path('<folder>'),
    required: true as const,
    help: 'the folder for the results; for a single recording also a file, whose extension decides the format',
  },
  format: {
    ...output,
    ...choice(['wav', 'flac', 'mp3', 'ogg', 'm4a', 'opus', 'aiff']),
    defaultText: "the recording's, wav if that cannot be written",
    help: 'the format of the files in the folder',
  },
  sample_rate: {
    ...output,
    ...integer(8000, 192_000),
    defaultText: "the recording's",
    help: 'of the results, in Hz; the model makes sound of 48000 Hz',
  },
  ...machineParameters,
}

/** Fields of the hosted trainers' job format that describe video. A job may contain them; they have no effect here. */
export const videoFields: readonly string[] = [
  'number_of_frames',
  'frame_rate',
  'resolution',
  'aspect_ratio',
  'auto_scale_input',
  'with_audio',
  'generate_audio_in_validation',
  'validation_number_of_frames',
  'validation_resolution',
  'validation_aspect_ratio',
  'first_frame_conditioning_p',
]

export const isVideoField = (name: string) => videoFields.includes(name)
