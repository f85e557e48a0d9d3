/**
 * Every parameter, once: its name in job files, what it may be, its default and its help. Flags, checks, help texts and the settings' types are all
 * made from these tables. Names, defaults and ranges are the hosted trainer's; `ours` marks what it does not have.
 */
import { choice, listOf, number, path, paths, positive, text, toggle, whole } from './parameter.ts'
import { validationFlags, validationList } from './validation.ts'

/** What a preview is steered away from unless told otherwise: what makes a recording bad, whatever it is a recording of. */
export const qualityNegativePrompt = [
  'clipping',
  'digital distortion',
  'crackling',
  'pops and clicks',
  'loud hiss',
  'mains hum',
  'background noise',
  'room echo',
  'muffled sound',
  'tinny sound',
  'metallic artifacts',
  'robotic voice',
  'garbled speech',
  'stutter',
  'repeated fragments',
  'dropouts',
  'sudden silence',
  'abrupt cuts',
  'pumping volume',
  'wrong pitch',
  'warbling',
  'low bitrate compression',
  'unbalanced channels',
].join(', ')

/** The ten linear layers of the audio stream that the reference's audio-to-audio recipe adapts (spec §7.5). */
export const audioModules = [
  ...['audio_attn1', 'audio_attn2'].flatMap((attention) =>
    ['to_k', 'to_q', 'to_v', 'to_out.0'].map((projection) => `${attention}.${projection}`),
  ),
  'audio_ff.net.0.proj',
  'audio_ff.net.2',
]

const ours = true

const data = { group: 'Data' }
const lora = { group: 'LoRA' }
const training = { group: 'Training' }
const previews = { group: 'Previews' }
const sound = { group: 'Sound' }
const sampling = { group: 'Sampling' }
const output = { group: 'Output' }
const machine = { group: 'Model and machine' }

const seconds = number(0.5, 60)
const stgScale = { ...number(0, 3), default: 1, help: 'spatio-temporal guidance; 0 is faster' }
const samplingSteps = { ...whole(1, 1000), default: 30, help: 'sampling steps' }
const cfg = { ...number(1, 30), default: 7, help: 'how closely the prompt is followed' }
const seed = { ...whole(0, 2 ** 32 - 1), default: 42, ours, help: 'one seed, one result' }
const negativePrompt = {
  ...text(),
  default: qualityNegativePrompt,
  unset: 'a list of audio defects',
  help: 'what it should not sound like',
}

const machineParameters = {
  model: {
    ...machine,
    ...paths('<file>'),
    ours,
    unset: 'the small bundled base',
    help: 'LTX-2.3 checkpoint, a file or folder; several with commas between, or repeated',
  },
  text_encoder: { ...machine, ...path('<folder>'), ours, unset: 'the bundled one', help: 'its Gemma-3 text encoder' },
  text_embeddings: {
    ...machine,
    ...path('<file>'),
    ours,
    unset: 'none',
    help: 'captions encoded by encode-captions, in place of the text encoder',
  },
  backend: {
    ...machine,
    ...choice(['auto', 'tensorflow', 'wasm', 'cpu']),
    ours,
    default: 'auto' as const,
    help: 'what computes: the fastest that works',
  },
}

/** What decides how a dataset is used. */
const dataParameters = {
  training_data_url: {
    ...data,
    ...path('<zip>'),
    alias: 'data',
    required: true as const,
    help: 'zip, folder or URL of recordings <name>_start and <name>_end, captions <name>.txt',
  },
  trigger_phrase: { ...data, ...text(), default: '', unset: 'none', help: 'put before every caption' },
  audio_duration_seconds: { ...data, ...seconds, default: 5, help: 'length of a clip; shorter pairs are skipped' },
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
    ...choice([8, 16, 32, 64, 128]),
    relaxed: whole(1, 1024),
    default: 32,
    help: 'size of the LoRA',
  },
  alpha: {
    ...lora,
    ...positive(1024),
    ours,
    unset: 'the rank',
    help: 'the LoRA counts alpha / rank times',
  },
  target_modules: {
    ...lora,
    ...listOf({ ...text(), placeholder: '<name,…>' }, ','),
    ours,
    default: audioModules,
    unset: 'all ten of the audio stream',
    help: 'ends of the names of the layers to adapt',
  },

  number_of_steps: {
    ...training,
    ...whole(100, 20000),
    relaxed: whole(1, 20000),
    default: 2000,
    help: 'optimizer steps',
  },
  learning_rate: {
    ...training,
    ...positive(1),
    default: 0.0002,
    help: 'of the first step',
  },
  learning_rate_schedule: {
    ...training,
    ...choice(['linear', 'constant', 'cosine']),
    ours,
    default: 'linear' as const,
    help: 'linear falls to 10 %, cosine to 0',
  },
  gradient_accumulation: { ...training, ...whole(1, 256), ours, default: 1, help: 'pairs per optimizer step' },
  seed: { ...training, ...seed },

  validation: { ...previews, ...validationList, default: [], madeOf: validationFlags, help: 'at most 2' },
  validation_negative_prompt: { ...previews, ...negativePrompt },
  validation_frame_rate: {
    ...previews,
    ...number(8, 60),
    default: 24,
    help: 'frames per second in which the length of a preview is counted',
  },
  stg_scale: { ...previews, ...stgScale },
  preview_interval: { ...previews, ...whole(0, 20000), ours, default: 250, help: 'in steps; 0 is only at the end' },
  preview_steps: { ...previews, ...samplingSteps, ours },
  preview_cfg: { ...previews, ...cfg, ours },

  out: {
    ...output,
    ...path('<folder>'),
    ours,
    unset: 'runs/<dataset>-<date-time>',
    help: 'where everything is written',
  },
  checkpoint_interval: { ...output, ...whole(0, 20000), ours, default: 250, help: 'in steps; 0 is only at the end' },
  debug_dataset: { ...output, ...toggle(), default: false, help: 'also write the fitted clips as a zip' },

  ...machineParameters,
  recompute: {
    ...machine,
    ...choice(['auto', 'on', 'off']),
    ours,
    default: 'auto' as const,
    help: 'on native TensorFlow, compute blocks again for the gradient: a third slower, room for long clips',
  },
  ignore_requirements: {
    ...machine,
    ...toggle(),
    ours,
    default: false,
    help: 'start even if the run seems too large for this machine',
  },
}

/** Looking at a dataset needs no name for it: the current folder is searched. */
export const inspectParameters = {
  ...dataParameters,
  training_data_url: { ...dataParameters.training_data_url, required: false as const, unset: 'the zip in this folder' },
}

/** Whatever decides which texts are encoded, and by what. */
export const encodeParameters = {
  training_data_url: dataParameters.training_data_url,
  trigger_phrase: dataParameters.trigger_phrase,
  prompt: { ...data, ...listOf(text()), ours, default: [], unset: 'none', help: 'another text; may be repeated' },
  validation: trainParameters.validation,
  validation_negative_prompt: trainParameters.validation_negative_prompt,
  model: machineParameters.model,
  text_encoder: machineParameters.text_encoder,
  backend: machineParameters.backend,
}

export const previewParameters = {
  lora: { ...lora, ...listOf(path('<file>')), default: [], unset: 'the base alone', help: 'may be repeated' },
  lora_strength: {
    ...lora,
    ...listOf(number(-10, 10)),
    default: [],
    unset: '1',
    help: 'of the --lora in the same place; may be repeated',
  },
  ref: { ...sound, ...path('<file>'), required: true as const, help: 'the recording to transform, a file or URL' },
  prompt: { ...sound, ...text(), unset: "the LoRA's trigger phrase", help: 'what it should become' },
  negative_prompt: { ...sound, ...negativePrompt },
  duration: { ...sound, ...seconds, unset: "the LoRA's, else the recording's", help: 'seconds' },
  seed: { ...sampling, ...seed },
  steps: { ...sampling, ...samplingSteps },
  cfg: { ...sampling, ...cfg },
  stg_scale: { ...sampling, ...stgScale },
  out: { ...output, ...path('<wav>'), default: 'preview.wav', help: '48 kHz stereo' },
  ...machineParameters,
}

/** Fields of the hosted trainers' shared job format that describe video. A job that has them runs; they change nothing here. */
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
