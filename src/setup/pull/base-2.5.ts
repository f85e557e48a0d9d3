/** Pulls the files of LTX-2.5 into one folder, each without what is not needed for sound. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { audioVaeFile } from '../../model/base-files.ts'
import { mergedConfig, missingComponents, nameNormalizer } from '../../model/checkpoint-layout.ts'
import { readModelConfig } from '../../model/config.ts'
import { requireConsistency } from '../../model/config-consistency.ts'
import { trainedFile } from '../../model/release.ts'
import { packedTextEncoder } from '../../model/text/text-encoder.ts'
import { requireMatchingTextEncoder, requireTextEncoderOf25 } from '../../model/text/text-encoder-match.ts'
import { unlessMissing } from '../../net/byte-source.ts'
import type { ModelFolder, PullEnv } from '../../net/location.ts'
import { type Plan, planPull, readHeader, type SourceHeader } from '../../net/pull.ts'
import { UserError } from '../../platform/errors.ts'
import { canonicalPath } from '../../platform/output-file.ts'
import type { Reporter } from '../../platform/progress.ts'
import { sum } from '../../platform/statistics.ts'
import { shellQuote, sizeText } from '../../platform/text.ts'
import { readGemmaConfig } from './gemma-folder.ts'
import { type NeededPart, neededPartOf, textFileName } from './needed-part.ts'
import { describePlan, pullAll } from './pull-all.ts'
import type { PullSettings } from './settings.ts'

/** Where the repository has them. */
const releasedFiles = [
  { file: `diffusion_models/${trainedFile['2.5']}`, isTextEncoder: false },
  { file: `vae/${audioVaeFile}`, isTextEncoder: false },
  { file: `text_encoders/${packedTextEncoder}`, isTextEncoder: true },
]

type PlannedFile = { plan: Plan; header: SourceHeader; part: NeededPart }

/**
 * @param settings `textEncoder`: nothing but the text encoder, or everything but it.
 * @returns the path of the folder, or of the text encoder if only that was wanted.
 * @throws UserError when a file is missing or is another one, or the files do not belong together: then nothing is written.
 */
export async function pullBase25(
  modelFolder: ModelFolder,
  { out, textEncoder }: PullSettings,
  pullEnv: PullEnv,
  reporter: Reporter,
): Promise<string> {
  const folder = out !== undefined ? canonicalPath(out) : join('models', modelFolder.name)
  const files: PlannedFile[] = []
  try {
    for (const { file, isTextEncoder } of releasedFiles)
      if (textEncoder === undefined || textEncoder === isTextEncoder)
        files.push(await planFile(modelFolder, file, { folder, isTextEncoder }, reporter.signal))
    if (textEncoder !== true) requireOneBase(modelFolder, files)
    const plans = files.map(({ plan }) => plan)
    for (const plan of plans) reporter.info(describePlan(plan))
    if (plans.length > 1) reporter.info(`Together ${sizeText(sum(plans.map(({ size }) => size)))}`)
    await pullAll(plans, pullEnv, reporter)
    const paths = plans.map(({ path }) => path)
    const [onlyFile] = textEncoder === true ? paths : []
    reporter.info(onlyFile === undefined ? usage(folder, paths) : `Use it with --text-encoder ${shellQuote(onlyFile)}`)
    return onlyFile ?? folder
  } finally {
    for (const { plan } of files) await plan.source.close()
  }
}

async function planFile(
  modelFolder: ModelFolder,
  file: string,
  { folder, isTextEncoder }: { folder: string; isTextEncoder: boolean },
  signal: AbortSignal,
): Promise<PlannedFile> {
  const source = await modelFolder.open(file, signal).catch(unlessMissing)
  if (source === undefined) throw await missingFile(modelFolder, file, { isTextEncoder, signal })
  try {
    const header = await readHeader(source, signal)
    const part = neededPartOf(source.name, header, { base: '2.5', textEncoder: isTextEncoder })
    return { plan: planPull(source, header, join(folder, part.fileName), part.isNeeded), header, part }
  } catch (error) {
    await source.close()
    throw error
  }
}

/** @throws UserError for the folder of another text encoder. */
async function missingFile(
  modelFolder: ModelFolder,
  file: string,
  { isTextEncoder, signal }: { isTextEncoder: boolean; signal: AbortSignal },
) {
  const config = isTextEncoder ? await readGemmaConfig(modelFolder, signal) : undefined
  if (config) requireTextEncoderOf25({ path: modelFolder.name, config })
  return new UserError(`${modelFolder.location} has no ${file}`, {
    hint: `name a folder or repository with the layout of Lightricks/LTX-2.5, or pull its files one by one: ltx-a2a pull <file>`,
  })
}

/** @throws UserError when components are missing, or the text encoder belongs to another base. */
function requireOneBase({ location }: ModelFolder, files: readonly PlannedFile[]) {
  const hint = 'use another copy of the model'
  const textEncoder = files.find(({ part }) => part.textEncoder)
  const missing = missingComponents(new Set(files.flatMap(({ part }) => [...part.names])))
  const lacking = missing.filter((component) => textEncoder || component !== 'text projection')
  if (lacking.length > 0) throw new UserError(`the files of ${location} have no ${lacking.join(' and no ')}`, { hint })
  const [transformer] = files as [PlannedFile]
  const { name: path } = transformer.plan.source
  if (transformer.part.release === undefined)
    throw new UserError(`${path} does not say that it belongs to LTX-2.5`, { hint })
  requireConsistentConfig(files)
  if (textEncoder?.part.textEncoder)
    requireMatchingTextEncoder(
      { path: textEncoder.plan.source.name, config: textEncoder.part.textEncoder },
      { path, metadata: transformer.header.metadata },
      '2.5',
    )
}

/** @throws UserError for a config that is missing, of another model, or contradicted by the tensors. */
function requireConsistentConfig(files: readonly PlannedFile[]) {
  const views = files.map(({ plan, header, part }) => {
    const unifiedName = nameNormalizer(header.tensors)
    const tensors = new Map([...header.tensors].map(([name, info]) => [unifiedName(name), info]))
    return { path: plan.source.name, metadata: part.textEncoder ? {} : header.metadata, tensors }
  })
  const config = mergedConfig(views)
  const path = views.map(({ path }) => path).join(' + ')
  const whole = {
    path,
    metadata: { ...(config && { config }) },
    tensors: new Map(views.flatMap(({ tensors }) => [...tensors])),
  }
  requireConsistency(whole, readModelConfig(whole))
}

/**
 * What to train with. The folder opens as a whole unless it has other files of weights.
 * @param pulled the paths of the files in it. A text encoder of an earlier pull counts, too.
 */
function usage(folder: string, pulled: readonly string[]): string {
  const packed = join(folder, textFileName(packedTextEncoder))
  const others = readdirSync(folder).filter(
    (name) => isWeights(name) && ![...pulled, packed].includes(join(folder, name)),
  )
  const model = others.length === 0 ? folder : pulled.filter((path) => path !== packed).join(',')
  const textEncoder = others.length === 0 ? '' : ` --text-encoder ${shellQuote(packed)}`
  return existsSync(packed)
    ? `Train on it with --model ${shellQuote(model)}${textEncoder}`
    : `Train on it with --model ${shellQuote(model)} and a text encoder, which ltx-a2a pull --base 2.5 --text-encoder downloads`
}

const isWeights = (name: string) => /\.safetensors(\.index\.json)?$/.test(name)
