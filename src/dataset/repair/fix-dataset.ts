/** The repair of a dataset: what the inspection advises, done to a copy. */
import { readFile, rm } from 'node:fs/promises'
import type { FixSettings } from '../../config/settings.ts'
import { UserError } from '../../platform/errors.ts'
import type { OutputFile } from '../../platform/output-file.ts'
import { createReporter, type ProgressEvent, type Reporter, type RunOptions } from '../../platform/progress.ts'
import { isNoRoom, makeTempFolder, type TempFolder } from '../../platform/temp-folder.ts'
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
  const zip = createZip(path, reporter.signal)
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
    reporter.throwIfAborted() // the zip would take its place
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
      const { limits, signal } = source
      await writeChanged(file, changed, change, { peak, name: from, limits, signal })
      await zip.addFile(to, changed)
      await rm(changed)
    })
  if (caption) await source.withFile(caption.from, (file) => zip.addFile(caption.to, file))
}

/**
 * A folder for each pair, and a file with the reasons, which also names the files that are left out. The names of the files in a folder are those of no
 * pair, so that no trainer takes them for one. A file that cannot be copied, which may be why its pair was rejected, is left out, and the reasons say so.
 */
async function addRejected(zip: ZipWriter, source: Source, plan: FixPlan, reporter: Reporter) {
  const { rejected, rejectedBefore, unused } = plan
  const entries = rejectedBefore.filter(({ below }) => below !== reasonsFile)
  const taken = new Set(entries.map(({ below }) => below.slice(0, below.indexOf('/')).toLowerCase()))
  const notCopied = new Map<string, string>()
  const copy = async (path: string, use: (file: string) => Promise<void>) => {
    reporter.throwIfAborted()
    await source.withFile(path, use).catch((error) => notCopied.set(path, whyNotCopied(path, error)))
  }
  let reasons = ''
  for (const { path, below } of rejectedBefore)
    if (below === reasonsFile)
      await copy(path, async (file) => {
        reasons += await readFile(file, 'utf8')
      })
  const folders = rejected.map((rejection) => ({ ...rejection, folder: uniqueName(rejection.name, taken) }))
  for (const { folder, files } of folders)
    for (const { path, as } of files) entries.push({ path, below: `${folder}/${as}${extensionOf(path)}` })
  for (const { path, below } of entries.sort((a, b) => (a.below < b.below ? -1 : 1)))
    await copy(path, (file) => zip.addFile(`${rejectedFolder}/${below}`, file))
  for (const { folder, reason, files } of folders) {
    const missing = files.flatMap(({ path }) => missingFile(path, notCopied.get(path), reason))
    reasons += `${[`${folder}: ${reason}`, ...missing].join('; ')}\n`
  }
  for (const path of unused) reasons += `left out, no part of a pair: ${plain(path)}\n`
  for (const { path } of rejectedBefore)
    for (const missing of missingFile(path, notCopied.get(path))) reasons += `${missing}\n`
  if (reasons !== '') zip.addBytes(`${rejectedFolder}/${reasonsFile}`, reasons)
}

/** The message of an error that is the fault of the file. @throws any other. */
function whyNotCopied(path: string, error: unknown): string {
  if (error instanceof UserError && !isNoRoom(error)) return error.message
  if (['EACCES', 'EPERM', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? ''))
    return `${path} cannot be opened`
  throw error
}

/** @param reason of its pair, which may have said it already. */
function missingFile(path: string, why: string | undefined, reason = ''): string[] {
  if (why === undefined) return []
  return [reason.includes(why) ? `${path} is not copied` : `${path} is not copied: ${why}`]
}
