/** Downloads a real base, or a part of it, without the tensors that are not used. */
import { asFolder, isSafetensors, type ModelLocation, type PullEnv, parseModelLocation } from '../net/location.ts'
import { readHeader } from '../net/pull.ts'
import { Interrupted, UserError } from '../platform/errors.ts'
import { createReporter, type ProgressEvent, type Reporter, type RunOptions } from '../platform/progress.ts'
import { pullBase25 } from './pull/base-2.5.ts'
import { pullFile } from './pull/file.ts'
import { pullGemmaFolder } from './pull/gemma-folder.ts'
import { isPackedTextEncoder } from './pull/needed-part.ts'
import type { PullSettings } from './pull/settings.ts'

/** The model that LoRAs are trained on, not the distilled one. */
const releasedModel = 'Lightricks/LTX-2.3/ltx-2.3-22b-dev.safetensors'
/** The text encoder that the release names. */
const releasedTextEncoder = 'google/gemma-3-12b-it-qat-q4_0-unquantized'
const releasedBase25 = 'Lightricks/LTX-2.5'

/**
 * Fetches the parts of a base that are needed. An interrupted pull continues where it stopped.
 * @returns the path of the file, or of the folder of LTX-2.5 or of a text encoder.
 * @throws UserError with what the user can correct; Interrupted when the signal was aborted: what has arrived is kept.
 */
export async function pullModel(
  settings: PullSettings,
  options: RunOptions<ProgressEvent> = {},
  pullEnv: PullEnv = { env: process.env },
): Promise<string> {
  const controller = new AbortController() // aborted with the error that the pull rejects with
  const abort = () =>
    controller.abort(new Interrupted('stopped; what has arrived is kept', { hint: 'run the same command again' }))
  options.signal?.addEventListener('abort', abort, { once: true })
  if (options.signal?.aborted) abort()
  const reporter = createReporter<ProgressEvent>({ ...options, signal: controller.signal })
  try {
    return await (settings.base === '2.5' ? pull25 : pull23)(settings, pullEnv, reporter)
  } finally {
    options.signal?.removeEventListener('abort', abort)
  }
}

/** Without `base`, one file may be of LTX-2.5. */
async function pull23(settings: PullSettings, pullEnv: PullEnv, reporter: Reporter): Promise<string> {
  const { textEncoder, from = textEncoder ? releasedTextEncoder : releasedModel } = settings
  const location = await parseModelLocation(from, pullEnv)
  const { modelFolder, file } = location
  if (textEncoder && !(settings.base === undefined && (await isPackedFile(location, reporter.signal))))
    return pullGemmaFolder(modelFolder, settings, pullEnv, reporter)
  if (file === undefined)
    throw new UserError(`${from} is not one file`, {
      hint: `name the checkpoint in it: ${from}/<file>.safetensors; --base 2.5 pulls the files of LTX-2.5`,
    })
  return pullFile(await modelFolder.open(file, reporter.signal), settings, pullEnv, reporter)
}

async function pull25(settings: PullSettings, pullEnv: PullEnv, reporter: Reporter): Promise<string> {
  const { from = releasedBase25 } = settings
  const { modelFolder, file } = await parseModelLocation(asFolder(from), pullEnv)
  if (file === undefined) return pullBase25(modelFolder, settings, pullEnv, reporter)
  if (!isSafetensors(file))
    throw new UserError(`${from} is neither a safetensors file nor a folder or repository`, {
      hint: 'name the folder or repository with the files of LTX-2.5, or one safetensors file',
    })
  return pullFile(await modelFolder.open(file, reporter.signal), settings, pullEnv, reporter)
}

async function isPackedFile({ modelFolder, file = '' }: ModelLocation, signal: AbortSignal): Promise<boolean> {
  if (!isSafetensors(file)) return false
  const source = await modelFolder.open(file, signal)
  try {
    return isPackedTextEncoder(await readHeader(source, signal))
  } finally {
    await source.close()
  }
}
