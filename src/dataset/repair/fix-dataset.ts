/** The repair of a dataset: what the inspection advises, done to a copy. */
import { readFile, rm } from 'node:fs/promises'
import type { FixSettings } from '../../config/settings.ts'
import { makeTempFolder, type TempFolder } from '../../platform/files.ts'
import type { OutputFile } from '../../platform/output-file.ts'
import { createReporter, type ProgressEvent, type Reporter, type RunOptions } from '../../platform/progress.ts'
import { countText, plain } from '../../platform/text.ts'
import { madePairsRecord, reasonsFile, rejectedFolder } from '../dataset-file.ts'
import type { Source } from '../source.ts'
import { createZip, type ZipWriter } from '../zip-writer.ts'
import { extensionOf, type FixPlan, type PlannedPair, planFix } from './fix-plan.ts'
import { uniqueName } from './names.ts'
import { writeChanged } from './side-change.ts'

/** The comment of the zip, so that the next repair may replace it. */
export const fixedDatasetMarker = 'ltx-a2a fix-dataset'

/**
 * Repairs an open source and writes the result as a zip. The source is not changed.
 * @param output undefined for a dry run, which writes nothing.
 * @throws UserError where no pair would be left; Interrupted when the signal was aborted. Then nothing is written.
 */
export async function fixDataset(
  source: Source,
  settings: FixSettings,
  output: OutputFile | undefined,
  runOptions: RunOptions<ProgressEvent> = {},
): Promise<FixPlan> {
  const reporter = createReporter<ProgressEvent>(runOptions)
  const plan = await planFix(source, settings, reporter)
  if (output) await output.fill((path) => writeZip(path, source, plan, reporter), runOptions.signal)
  await reporter.settled()
  return plan
}

async function writeZip(path: string, source: Source, plan: FixPlan, reporter: Reporter) {
  const stage = reporter.stage('Writing', plan.pairs.length, 'pairs')
  const folder = await makeTempFolder()
  const zip = createZip(path)
  try {
    for (const [i, pair] of plan.pairs.entries()) {
      reporter.throwIfAborted()
      await addPair(zip, source, pair, folder)
      stage.update(i + 1)
    }
    const { record } = plan
    if (record !== null) await source.withFile(record, (file) => zip.addFile(madePairsRecord, file))
    await addRejected(zip, source, plan, reporter)
    await zip.finish(fixedDatasetMarker)
  } finally {
    await zip.close()
    await folder.remove()
  }
  stage.finish(countText(plan.pairs.length, 'pair'))
}

async function addPair(
  zip: ZipWriter,
  source: Source,
  { reference, target, caption, peak }: PlannedPair,
  folder: TempFolder,
) {
  for (const { from, to, change } of [reference, target])
    await source.withFile(from, async (file) => {
      if (!change) return zip.addFile(to, file)
      const changed = folder.newFile('.wav')
      await writeChanged(file, changed, change, { peak, name: from, limits: source.limits })
      await zip.addFile(to, changed)
      await rm(changed)
    })
  if (caption) await source.withFile(caption.from, (file) => zip.addFile(caption.to, file))
}

/**
 * A folder for each pair, and a file with the reasons, which also names the files that are left out. The names of the files in a folder are those of no
 * pair, so that no trainer takes them for one.
 */
async function addRejected(zip: ZipWriter, source: Source, plan: FixPlan, reporter: Reporter) {
  const { rejected, rejectedBefore, unused } = plan
  const entries = rejectedBefore.filter(({ below }) => below !== reasonsFile)
  const taken = new Set(entries.map(({ below }) => below.slice(0, below.indexOf('/')).toLowerCase()))
  let reasons = ''
  for (const { path, below } of rejectedBefore)
    if (below === reasonsFile) reasons += await source.withFile(path, (file) => readFile(file, 'utf8'))
  for (const { name, reason, files } of rejected) {
    const folder = uniqueName(name, taken)
    for (const { path, as } of files) entries.push({ path, below: `${folder}/${as}${extensionOf(path)}` })
    reasons += `${folder}: ${reason}\n`
  }
  for (const path of unused) reasons += `left out, no part of a pair: ${plain(path)}\n`
  for (const { path, below } of entries.sort((a, b) => (a.below < b.below ? -1 : 1))) {
    reporter.throwIfAborted()
    await source.withFile(path, (file) => zip.addFile(`${rejectedFolder}/${below}`, file))
  }
  if (reasons !== '') zip.addBytes(`${rejectedFolder}/${reasonsFile}`, reasons)
}
