/** Writing a dataset down as a page: the pairs worth hearing are decoded once more, and made small. */

import { toStereo } from '../audio/channels.ts'
import { compressSound } from '../audio/compress.ts'
import { decodeAudio } from '../audio/decode.ts'
import type { Dataset } from '../dataset/dataset.ts'
import type { DatasetSide } from '../dataset/inspection.ts'
import type { Source } from '../dataset/source.ts'
import { replaceFile } from '../files.ts'
import { datasetPage, type PairSounds, pairsToHear } from '../report/dataset-page.ts'
import { type PageSound, pageSound } from '../report/page/player.ts'
import type { Terminal } from '../report/terminal.ts'

/** The page is for judging, not for archiving. */
const longestSeconds = 15
const kilobitsPerSecond = 64

export async function writeDatasetPage(path: string, dataset: Dataset, source: Source, terminal: Terminal) {
  const pairs = pairsToHear(dataset)
  const stage = terminal.stage('Page', pairs.length, 'pairs')
  const sounds = new Map<string, { reference: PageSound; target: PageSound }>()
  for (const { name, reference, target } of pairs) {
    sounds.set(name, { reference: await soundOf(source, reference), target: await soundOf(source, target) })
    stage.update(sounds.size)
  }
  replaceFile(path, [datasetPage(dataset, sounds satisfies PairSounds)])
  stage.done(path)
}

async function soundOf(source: Source, { path }: DatasetSide): Promise<PageSound> {
  const decoded = await source.withFile(path, (file) => decodeAudio(file, { name: path, maxSeconds: longestSeconds }))
  const waveform = toStereo(decoded)
  return pageSound(waveform, await compressSound(waveform, kilobitsPerSecond))
}
