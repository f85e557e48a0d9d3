/** The parts of ltx-a2a that other programs may build on. */
export { logMel } from './audio/mel.ts'
export { resample } from './audio/resample.ts'
export type { Waveform } from './audio/waveform.ts'
export { assertTrainable, type Dataset, type DatasetOptions, inspectDataset } from './dataset/dataset.ts'
export { openSource, type Source } from './dataset/source.ts'
export { openSafetensors, type Safetensors, writeSafetensors } from './formats/safetensors.ts'
export { type LoraFile, readLora, writeLora } from './model/lora-file.ts'
export { Interrupted, UserError } from './platform/errors.ts'
