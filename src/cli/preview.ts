/** `ltx-a2a preview`: a recording, a prompt and a LoRA become a wav. */
import { encodeWav } from '../audio/wav.ts'
import { durationOf } from '../audio/waveform.ts'
import type { PreviewSettings } from '../config/settings.ts'
import { openSampler } from '../diffusion/sampler.ts'
import { openCache } from '../encode/cache.ts'
import { encodeTexts } from '../encode/captions.ts'
import { openClipEncoder } from '../encode/clips.ts'
import { startBackend } from '../engine/backend.ts'
import type { HostMatrix } from '../engine/device-tensors.ts'
import { type BaseModel, openBaseModel } from '../model/base-model.ts'
import { attachSavedLoras } from '../model/lora.ts'
import { type LoraFile, loraFacts, readLora } from '../model/lora-file.ts'
import { replaceFile } from '../platform/files.ts'
import { generateLatents, renderLatents } from '../preview/render.ts'
import { guidanceRescale, readReference } from '../train/validation.ts'
import type { Terminal } from './terminal/terminal.ts'
import { adviseGuidance, describeBase, loadModel } from './train.ts'

/** The longest clip that can be trained on, for a reference whose LoRA names no duration. */
const longestSeconds = 60

/** @throws UserError for a file that is missing, not a LoRA, or of another base. */
export async function runPreview(settings: PreviewSettings, terminal: Terminal): Promise<void> {
  const base = openBaseModel(settings)
  const loras = settings.loras.map(({ path, strength }) => ({ file: readLora(path), strength }))
  const [facts] = loras.map(({ file }) => loraFacts(file.metadata))
  for (const { file } of loras) warnOfOtherBase(file, base, terminal)
  const prompt = settings.prompt ?? facts?.triggerPhrase ?? ''
  // a LoRA hears what its training clips were like; the base, for comparison, what they are by default
  const longest = settings.duration ?? facts?.durationSeconds ?? longestSeconds
  const reference = await readReference(settings.ref, longest, facts ? (facts.normalized ?? false) : true)
  const seconds = settings.duration ?? facts?.durationSeconds ?? durationOf(reference)
  describeBase(base, terminal)
  adviseGuidance(base, '--cfg', settings.cfg, terminal)
  const backend = await startBackend(settings.backend)
  terminal.note(`Backend: ${backend.name}, ${backend.description}`)

  const cache = openCache()
  const encoder = openClipEncoder(base, cache)
  const patches = encoder.encode(reference)
  encoder.close()
  const contexts = await encodeTexts(base, [prompt, settings.negativePrompt], cache)
  const model = loadModel(base, terminal)
  attachSavedLoras(model, loras)

  const stage = terminal.stage('Sampling', settings.steps, 'steps')
  const sampler = openSampler(model)
  const latents = await generateLatents(
    sampler,
    {
      reference: patches,
      context: contexts.get(prompt) as HostMatrix,
      negativeContext: contexts.get(settings.negativePrompt) as HostMatrix,
      seconds,
      seed: settings.seed,
      steps: settings.steps,
      guidance: { cfg: settings.cfg, stg: settings.stgScale, rescale: guidanceRescale },
    },
    stage.update,
  )
  sampler.close()
  const waveform = await renderLatents(base, latents)
  replaceFile(settings.out, [encodeWav(waveform)])
  stage.done(`${durationOf(waveform).toFixed(2)} s of sound from the prompt ${JSON.stringify(prompt)}`)
  terminal.result(settings.out)
}

function warnOfOtherBase({ path, metadata }: LoraFile, base: BaseModel, terminal: Terminal) {
  const { baseModel } = loraFacts(metadata)
  if (baseModel && baseModel !== base.fingerprint)
    terminal.warn(`${path} was trained on another base model (${baseModel}, this one is ${base.fingerprint})`)
}
