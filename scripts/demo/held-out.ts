/** The recordings that the demo does not train on, and what became of them. */
import { join } from 'node:path'
import { decodeAudio } from '../../src/audio/decode.ts'
import { normalizePeak, peak, type Waveform } from '../../src/audio/waveform.ts'

export const sounds = ['voice', 'singer', 'string', 'drums'] as const

/** What the demo's captions ask for. The true target of each sound is `<sound>_<target>.flac`. */
export const effects = {
  radio: { caption: 'through an old radio', target: 'end' },
  telephone: { caption: 'over a telephone', target: 'telephone' },
  hall: { caption: 'in a huge hall', target: 'hall' },
} as const

export type EffectName = keyof typeof effects
export const effectNames = Object.keys(effects) as EffectName[]

/** What a sound was transformed with: the LoRA and one of the captions, or the base alone and the caption of the radio. */
export type ResultName = EffectName | 'base'
export const resultNames: ResultName[] = ['base', ...effectNames]
export const captionOf = (result: ResultName) => effects[result === 'base' ? 'radio' : result].caption

export type HeldOutSound = {
  name: (typeof sounds)[number]
  reference: Waveform
  targets: Record<EffectName, Waveform>
  results: Record<ResultName, Waveform>
}

/** The path of a reference. */
export const referenceOf = (folder: string, sound: string) => join(folder, `${sound}_start.flac`)

/** Reads references, targets and results, all at the level that the model has seen. @param folder of references and targets. @param results with a folder for each result. */
export async function readHeldOut(folder: string, results: string): Promise<HeldOutSound[]> {
  return Promise.all(
    sounds.map(async (name) => {
      const recording = await decodeAudio(referenceOf(folder, name))
      const reference = normalizePeak(recording)
      const gain = peak(reference) / peak(recording) // a result has the level of the recording
      const target = async (effect: EffectName) =>
        normalizePeak(await decodeAudio(join(folder, `${name}_${effects[effect].target}.flac`)))
      const result = async (result: ResultName) =>
        scaled(await decodeAudio(join(results, result, `${name}_start.wav`)), gain)
      return { name, reference, targets: await record(effectNames, target), results: await record(resultNames, result) }
    }),
  )
}

const scaled = ({ sampleRate, channels }: Waveform, gain: number): Waveform => ({
  sampleRate,
  channels: channels.map((channel) => channel.map((sample) => gain * sample)),
})

async function record<Name extends string>(names: readonly Name[], read: (name: Name) => Promise<Waveform>) {
  const entries = await Promise.all(names.map(async (name) => [name, await read(name)] as const))
  return Object.fromEntries(entries) as Record<Name, Waveform>
}
