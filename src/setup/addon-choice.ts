/** Where the addon comes from: the prebuilt one of this package where it fits, otherwise a C++ compiler. */
import { UserError } from '../platform/errors.ts'
import { type Build, buildAddon, findCompiler } from './addon.ts'
import { findPrebuilt, mismatchOf, type PrebuiltAddon, placePrebuilt } from './prebuilt-addon.ts'

/** At least one of both. */
export type AddonMeans = {
  prebuilt?: PrebuiltAddon
  compiler?: string
  /** Why there is no prebuilt addon. */
  obstacle?: string
}

/**
 * Looks for both before anything is downloaded.
 * @param root where the prebuilt addons are.
 * @throws UserError when there is neither.
 */
export async function findAddonMeans(tfjs: string, root?: string, signal?: AbortSignal): Promise<AddonMeans> {
  const found = findPrebuilt(tfjs, root)
  if (typeof found === 'string') return { obstacle: found, compiler: await requireCompiler(found, signal) }
  const compiler = await findCompiler(process.env, signal).catch((error) => {
    if (error instanceof UserError) return undefined
    throw error
  })
  return { prebuilt: found, ...(compiler !== undefined && { compiler }) }
}

async function requireCompiler(obstacle: string, signal?: AbortSignal): Promise<string> {
  return findCompiler(process.env, signal).catch((error) => {
    throw error instanceof UserError ? new UserError(`${error.message}, and ${obstacle}`, { hint: error.hint }) : error
  })
}

export type AddonWork<Checked> = {
  build: Build
  /** Loads the addon and computes with it. */
  check(): Promise<Checked>
  /** Called with the choice and its reason in one line. */
  info(message: string): void
  compile<Result>(work: () => Promise<Result>): Promise<Result>
  signal: AbortSignal
}

/**
 * Puts an addon into the installation and checks it. A prebuilt one that fails is replaced by a compiled one.
 * @throws UserError when a compiler is needed and missing, or the addon cannot be built or fails.
 */
export async function provideAddon<Checked>(
  { prebuilt, compiler, obstacle }: AddonMeans,
  { build, check, info, compile, signal }: AddonWork<Checked>,
): Promise<Checked> {
  let reason = prebuilt ? mismatchOf(prebuilt.manifest, build.tensorflow) : obstacle
  if (prebuilt && reason === undefined) {
    info('Using the addon that comes with ltx-a2a')
    placePrebuilt(prebuilt, build)
    try {
      return await check()
    } catch (error) {
      if (!(error instanceof UserError) || compiler === undefined) throw error
      reason = `the addon that comes with ltx-a2a does not work here (${(error.cause as Error | undefined)?.message ?? error.message})`
    }
  }
  const program = compiler ?? (await requireCompiler(reason ?? '', signal))
  info(`Compiling the addon with ${program}: ${reason}`)
  await compile(() => buildAddon(program, build, signal))
  return check()
}
