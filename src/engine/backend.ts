/**
 * The TensorFlow.js backend: native TensorFlow where it is set up (on the GPU if it has one), else WebAssembly, which runs everywhere, else plain
 * JavaScript. It is one for the whole process; starting another one later is allowed.
 */
import util from 'node:util'
import * as tf from '@tensorflow/tfjs'
import { hasWideVectors } from '../machine/hardware.ts'
import { cardText } from '../machine/nvidia.ts'
import { UserError } from '../platform/errors.ts'
import type { Reporter } from '../platform/progress.ts'
import { type Addon, addonSources } from './addons.ts'
import { setEnvironment, unlessSet } from './environment.ts'
import { cardInUse, loadedCard, rememberCard, selectCard } from './graphics-card.ts'
import { checkInstructions, nativeFacts } from './native.ts'
import { type Precision, resetPrecision } from './precision.ts'
import { registerWasm, threadsFromEnvironment } from './wasm.ts'

export type BackendName = 'tensorflow' | 'wasm' | 'cpu'
export type BackendChoice = 'auto' | BackendName

/** The backend that was started, and why each one before it could not be. */
export type Backend = {
  name: BackendName
  description: string
  /** Why graphics cards are not used that this process may use, one sentence each. */
  notices: string[]
  passedOver: { name: BackendName; reason: string }[]
}

export type BackendOptions = {
  /** The precision of matrix products on native TensorFlow; the other backends have float32 alone. Default: see `currentPrecision`. */
  precision?: Precision | undefined
}

type Start = Pick<Backend, 'description' | 'notices'>

const starters: Record<BackendName, (options: { threads: number | undefined }) => Promise<Start>> = {
  tensorflow: startTensorFlow,
  wasm: async ({ threads }) => ({ description: await registerWasm(threads), notices: [] }),
  cpu: async () => ({ description: 'plain JavaScript, slow', notices: [] }),
}

/**
 * Makes a backend the current one: the first of tensorflow, wasm and cpu that works, or the named one.
 * @throws UserError when the named backend does not work here, or when `LTX_A2A_THREADS` or `LTX_A2A_INSTRUCTIONS` has no possible value.
 */
export async function startBackend(
  choice: BackendChoice = 'auto',
  { precision }: BackendOptions = {},
): Promise<Backend> {
  tf.enableProdMode()
  resetPrecision(precision)
  const threads = threadsFromEnvironment()
  checkInstructions()
  const passedOver: Backend['passedOver'] = []
  for (const name of choice === 'auto' ? (['tensorflow', 'wasm', 'cpu'] as const) : [choice]) {
    try {
      const start = await withoutRethrowListeners(async () => {
        const start = await starters[name]({ threads })
        if (!(await tf.setBackend(name))) throw new Error('it did not start')
        await tf.ready()
        return start
      })
      return { name, ...start, passedOver }
    } catch (cause) {
      const reason = firstLine(cause)
      if (choice !== 'auto')
        throw new UserError(`the ${name} backend cannot be used here: ${reason}`, {
          hint: name === 'tensorflow' ? 'run ltx-a2a setup-tensorflow, or use --backend auto' : 'use --backend auto',
          cause,
        })
      passedOver.push({ name, reason })
    }
  }
  throw new Error('no TensorFlow.js backend starts')
}

/** A backend that a run uses. It must be released. */
export type BackendLease = Backend & { release(): void }

let starting: Promise<unknown> = Promise.resolve()
let shared: { backend: Backend; choice: BackendChoice; users: number } | undefined

/**
 * Starts a backend for a run and reports it, or shares the backend of the other runs in this process, because TensorFlow.js has one for all of them.
 * @throws UserError when the named backend does not work here, or when other runs use another one.
 */
export function leaseBackend(choice: BackendChoice = 'auto', reporter?: Pick<Reporter, 'info'>): Promise<BackendLease> {
  const lease = starting.then(async () => {
    if (!shared || shared.users === 0) shared = { backend: await startBackend(choice), choice, users: 0 }
    const use = shared
    const { name, description, notices } = use.backend
    const isSame = choice === 'auto' ? use.choice === 'auto' || name === 'tensorflow' : choice === name
    if (!isSame)
      throw new UserError(`another run in this process uses the ${name} backend, not ${choice}`, {
        hint: 'start this run after that one, or in another process',
      })
    reporter?.info(`Backend: ${name}, ${description}`)
    for (const notice of notices) reporter?.info(notice)
    use.users++
    let isReleased = false
    const release = () => {
      if (!isReleased) use.users--
      isReleased = true
    }
    return { ...use.backend, release }
  })
  starting = lease.catch(() => undefined)
  return lease
}

/**
 * Removes the listeners for uncaught errors that the WebAssembly backend adds when it starts. They throw the error again, which would end a program
 * that handles its errors itself, and skip what is done when a process exits. Listeners that the program adds meanwhile are kept.
 */
async function withoutRethrowListeners<Result>(start: () => Promise<Result>): Promise<Result> {
  const events = ['uncaughtException', 'unhandledRejection'] as const
  const before = events.map((event) => new Set<unknown>(process.listeners(event as 'exit')))
  try {
    return await start()
  } finally {
    for (const [i, event] of events.entries())
      for (const listener of process.listeners(event as 'exit'))
        if (!before[i]?.has(listener) && rethrows.test(String(listener))) process.off(event, listener)
  }
}

/** The source of Emscripten's listeners, minified or not. */
const rethrows = /ExitStatus|^function\s*\((\w+)\)\s*\{\s*throw \1;?\s*\}$/

export const currentBackend = () => tf.getBackend() as BackendName

async function startTensorFlow(): Promise<Start> {
  restoreUtil()
  let failure: unknown
  for (const find of addonSources) {
    try {
      const addon = find()
      if (addon) return await startAddon(addon)
    } catch (error) {
      failure ??= error
    }
  }
  throw failure ?? new Error('no native TensorFlow is set up')
}

/** The environment is as it was where TensorFlow does not start. */
async function startAddon({ origin, build, load }: Addon): Promise<Start> {
  const selection = loadedCard() ?? (await selectCard(build))
  const { computing, selecting, refusals } = selection
  const restore = setEnvironment(
    unlessSet({
      TF_CPP_MIN_LOG_LEVEL: hasWideVectors() ? '2' : '3', // without AVX-512, level 2 repeats that bfloat16 is emulated
      TF_FORCE_GPU_ALLOW_GROWTH: 'true', // otherwise TensorFlow reserves all memory of the GPU
      TF_ENABLE_ONEDNN_OPTS: '1', // by default only with AVX-512; other processors multiply 1.5 times as fast with it
    }),
  )
  const restoreCard = setEnvironment({ ...unlessSet(computing), ...selecting })
  try {
    load()
    await tf.setBackend('tensorflow')
    const { version, device, hasGraphs, hasFusedOps } = nativeFacts()
    if (device === 'CPU') restoreCard() // its cards are chosen by now; other variables would change what it computes
    rememberCard(selection)
    const card = cardInUse()
    const place = card ? cardText(card) : `the ${device}`
    const isComplete = hasGraphs && (hasFusedOps || device === 'GPU')
    const description = `TensorFlow ${version} on ${place}, ${origin}${hasGraphs ? '' : ', op by op'}${isComplete ? '' : olderAddon}`
    return { description, notices: refusals }
  } catch (error) {
    restoreCard()
    restore()
    throw error
  }
}

/** For an addon from npm, or from an earlier version of `setup-tensorflow`. */
const olderAddon = ': ltx-a2a setup-tensorflow makes it faster'

/** tfjs-node 4.22 calls functions that Node 23 removed, and that Node 22 warns of. */
function restoreUtil() {
  const legacy = util as unknown as Record<string, unknown>
  legacy.isNullOrUndefined = (value: unknown) => value === null || value === undefined
  legacy.isArray = Array.isArray
}

const firstLine = (error: unknown) => String((error as Error)?.message ?? error).split('\n', 1)[0] as string
