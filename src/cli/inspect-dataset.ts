/** `ltx-a2a inspect-dataset`: what a training would use, skip, trim and stretch, and why. Needs no model, and writes nothing but the page that was asked for. */
import { readdirSync } from 'node:fs'
import type { InspectSettings } from '../config/settings.ts'
import { assertTrainable, inspectDataset } from '../dataset/dataset.ts'
import { openSource } from '../dataset/source.ts'
import { UserError } from '../platform/errors.ts'
import { writeDatasetPage } from '../report/dataset-page.ts'
import { datasetTable } from './terminal/dataset-table.ts'
import type { Terminal } from './terminal/terminal.ts'

/** @throws UserError after the result was shown, when nothing can be trained on it. */
export async function runInspectDataset(
  settings: InspectSettings,
  terminal: Terminal,
  { json = false, html }: { json?: boolean; html?: string } = {},
): Promise<void> {
  const source = await openSource(settings.trainingDataUrl ?? datasetHere(readdirSync('.'), terminal))
  try {
    const stage = terminal.stage('Measuring', 0, 'pairs')
    const dataset = await inspectDataset(
      source,
      {
        triggerPhrase: settings.triggerPhrase,
        seconds: settings.audioDurationSeconds,
        preservePitch: settings.audioPreservePitch,
        normalize: settings.audioNormalize,
      },
      { onProgress: ({ done }) => stage.update(done), listens: true },
    )
    stage.done(dataset.pairs.length === 1 ? '1 pair' : `${dataset.pairs.length} pairs`)
    terminal.result(json ? JSON.stringify(dataset, null, 2) : datasetTable(dataset, terminal.resultStyle))
    if (html !== undefined) await writeDatasetPage(html, dataset, source, terminal)
    assertTrainable(dataset)
  } finally {
    await source.close()
  }
}

/** `pairs.zip`, or the only zip among the files. */
function datasetHere(files: readonly string[], terminal: Terminal): string {
  const zips = files.filter((file) => /\.zip$/i.test(file) && !file.startsWith('.')).sort()
  const found = zips.includes('pairs.zip') ? 'pairs.zip' : zips.length === 1 ? zips[0] : undefined
  if (found !== undefined) {
    terminal.note(`Dataset: ${found}`)
    return found
  }
  const hint = 'name the dataset: ltx-a2a inspect-dataset <zip | folder | URL>'
  if (zips.length > 0) throw new UserError(`the current folder holds ${zips.length} zips: ${listed(zips)}`, { hint })
  throw new UserError(
    `the current folder holds no zip${files.length > 0 ? `, only ${listed([...files].sort())}` : ''}`,
    {
      hint,
    },
  )
}

const listed = (names: readonly string[], most = 8) =>
  names.length > most ? `${names.slice(0, most).join(', ')} and ${names.length - most} more` : names.join(', ')
