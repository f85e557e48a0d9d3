/** Distortion of the waveform, sample by sample, relative to the peak of the recording. */
import { fromDbfs } from '../waveform.ts'
import type { BlockProcessor, SoundLevel } from './stages.ts'

/** Cuts off what is less than `depthDb` below the peak. The rest keeps its level. */
export const clip =
  (depthDb: number) =>
  ({ peak }: SoundLevel): BlockProcessor => {
    const limit = peak * fromDbfs(-depthDb)
    return { add: (block) => block.map((sample) => Math.max(-limit, Math.min(limit, sample))) }
  }

/** A soft limit, as of a tube: quiet sounds become up to `driveDb` louder, the peak stays. */
export const saturate =
  (driveDb: number) =>
  ({ peak }: SoundLevel): BlockProcessor => {
    const drive = fromDbfs(driveDb)
    const scale = peak / Math.tanh(drive)
    return { add: (block) => block.map((sample) => scale * Math.tanh((drive * sample) / peak)) }
  }
