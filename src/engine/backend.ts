/**
 * The TensorFlow.js backend: native TensorFlow where it is set up (on the GPU if it has one), else WebAssembly, which runs everywhere, else plain
 * JavaScript. WebGPU is used where it is named. It is one for the whole process; starting another one later is allowed.
 */
import util from 'node:util'
import * as tf from '@tensorflow/tfjs'
import { hasWideVectors } from '../machine/hardware.ts'
import { cardText, readCards } from '../machine/nvidia.ts'
import { UserError } from '../platform/errors.ts'
import type { Reporter } from '../platform/progress.ts'
import { type Addon, addonSources } from './addons.ts'
import { type CardSituation, type CardsHere, cardNotices, cardsHere } from './card-use.ts'
import { setEnvironment, unlessSet } from './environment.ts'
import { cardInUse, loadedTensorFlow, rememberLoaded, selectCard } from './graphics-card.ts'
import { checkInstructions, isNative, nativeFacts } from './native.ts'
import { type Precision, resetPrecision } from './precision.ts'
import { registerWasm, threadsFromEnvironment } from './wasm.ts'
import { registerWebGpu } from './webgpu/backend.ts'

export type BackendName = 'tensorflow' | 'webgpu' | 'wasm' | 'cpu'
export type BackendChoice = 'auto' | BackendName

/** The backend that was started, and why each one before it could not be. */
export type Backend = {
  name: BackendName
  description: string
  /** Why graphics cards are not used that this process may use, one sentence each. */
  notices: string[]
  /** What is set up on this machine but does not start. */
  warnings: { message: string; hint?: string }[]
  passedOver: { name: BackendName; reason: string; hint?: string }[]
}

export type BackendOptions = {
  /** The precision of matrix products on native TensorFlow; the other backends have float32 alone. Default: see `currentPrecision`. */
  precision?: Precision | undefined
  /** The graphics cards, where they have been looked for already. */
  cards?: CardsHere | undefined
}

type StartOptions = { threads: number | undefined; cards: CardsHere }
type Start = Pick<Backend, 'description'> & Partial<Pick<Backend, 'warnings'>>

const starters: Record<BackendName, (options: StartOptions) => Promise<Start>> = {
  tensorflow: startTensorFlow,
  webgpu: async () => ({ description: await registerWebGpu() }),
  wasm: async ({ threads }) => ({ description: await registerWasm(threads) }),
  cpu: async () => ({ description: 'plain JavaScript, slow' }),
}

/**
 * Makes a backend the current one: the first of tensorflow, wasm and cpu that works, or the named one.
 * @throws UserError when the named backend does not work here, or when `LTX_A2A_THREADS` or `LTX_A2A_INSTRUCTIONS` has no possible value.
 */
export async function startBackend(
  choice: BackendChoice = 'auto',
  { precision, cards: known }: BackendOptions = {},
): Promise<Backend> {
  tf.enableProdMode()
  resetPrecision(precision)
  const threads = threadsFromEnvironment()
  checkInstructions()
  const cards = known ?? cardsHere(usesCards(choice) ? await readCards() : { cards: [] })
  const [passedOver, warnings]: [Backend['passedOver'], Backend['warnings']] = [[], []]
  for (const name of choice === 'auto' ? (['tensorflow', 'wasm', 'cpu'] as const) : [choice]) {
    try {
      const start = await withoutRethrowListeners(async () => {
        const start = await starters[name]({ threads, cards })
        if (!(await tf.setBackend(name))) throw new Error('it did not start')
        await tf.ready()
        return start
      })
      warnings.push(...(start.warnings ?? []))
      const isBroken = passedOver.some((backend) => isBrokenTensorFlow(backend))
      const notices = cardNotices(cardSituation(cards, choice, { isBroken }))
      return { name, description: start.description, notices, warnings, passedOver }
    } catch (error) {
      const reason = firstLine(error)
      const hint = hintOf(error, name)
      if (choice !== 'auto') throw refusal(name, error)
      const failed = { name, reason, ...(hint !== undefined && { hint }) }
      passedOver.push(failed)
      if (name !== 'tensorflow' || isBrokenTensorFlow(failed)) warnings.push(warningOf(failed))
    }
  }
  throw new Error('no TensorFlow.js backend starts')
}

const usesCards = (choice: BackendChoice) => choice === 'auto' || choice === 'tensorflow'

/** What is computed on, for `cardNotices`. @param isBroken whether a native TensorFlow is there that does not start. */
export function cardSituation(
  cards: CardsHere,
  choice: BackendChoice,
  { isBroken = false }: Pick<CardSituation, 'isBroken'> = {},
): CardSituation {
  const device = isNative() ? nativeFacts().device : undefined
  const chosenBackend = usesCards(choice) ? undefined : choice
  const build = device === undefined ? undefined : loadedTensorFlow()?.build
  return { ...cards, device, used: cardInUse(), build, chosenBackend, isBroken }
}

const notSetUp = 'no native TensorFlow is set up'

/** Whether the reason why native TensorFlow was passed over, or failed, is another than that there is none. */
export const isBrokenTensorFlow = ({ name, reason }: { name: BackendName; reason: string }) =>
  name === 'tensorflow' && !reason.includes(notSetUp)

const warningOf = ({ name, reason, hint }: Backend['passedOver'][number]) => ({
  message: `${name === 'tensorflow' ? 'native TensorFlow' : `the ${name} backend`} is not used: ${reason}`,
  ...(hint !== undefined && { hint }),
})

function hintOf(error: unknown, name: BackendName): string | undefined {
  const hint = error instanceof UserError ? error.hint : undefined
  return hint ?? (name === 'tensorflow' ? 'run ltx-a2a setup-tensorflow' : undefined)
}

/** The cause is given where it says more than the message. */
function refusal(name: BackendName, cause: unknown): UserError {
  const hint = [hintOf(cause, name), 'use --backend auto'].filter(Boolean).join(', or ')
  const message = `the ${name} backend cannot be used here: ${firstLine(cause)}`
  return new UserError(message, { hint, ...(/\n./.test((cause as Error).message) && { cause }), parameter: 'backend' })
}

/** A backend that a run uses. It must be released. */
export type BackendLease = Backend & { release(): void }

let starting: Promise<unknown> = Promise.resolve()
let shared: { backend: Backend; choice: BackendChoice; users: number } | undefined

/**
 * Starts a backend for a run and reports it, or shares the backend of the other runs in this process, because TensorFlow.js has one for all of them.
 * @throws UserError when the named backend does not work here, or when other runs use another one.
 */
export function leaseBackend(
  choice: BackendChoice = 'auto',
  reporter?: Pick<Reporter, 'info' | 'warn'>,
): Promise<BackendLease> {
  const lease = starting.then(async () => {
    if (!shared || shared.users === 0) shared = { backend: await startBackend(choice), choice, users: 0 }
    const use = shared
    const { name, description, notices, warnings } = use.backend
    const isSame = choice === 'auto' ? use.choice === 'auto' || name === 'tensorflow' : choice === name
    if (!isSame)
      throw new UserError(`another run in this process uses the ${name} backend, not ${choice}`, {
        hint: 'start this run after that one, or in another process',
        parameter: 'backend',
      })
    reporter?.info(`Backend: ${name}, ${description}`)
    for (const { message, hint } of warnings) reporter?.warn(message, hint)
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

async function startTensorFlow({ cards }: StartOptions): Promise<Start> {
  restoreUtil()
  let failure: { error: unknown } | undefined
  for (const find of addonSources) {
    try {
      const addon = find()
      if (!addon) continue
      const start = await startAddon(addon, cards)
      if (!failure) return start
      const hint = hintOf(failure.error, 'tensorflow') as string
      return { ...start, warnings: [{ message: firstLine(failure.error), hint }] }
    } catch (error) {
      failure ??= { error }
    }
  }
  throw failure?.error ?? new Error(notSetUp)
}

/** The environment is as it was where TensorFlow does not start. */
async function startAddon({ origin, build, module, load }: Addon, { cards }: CardsHere): Promise<Start> {
  const tensorflow = loadedTensorFlow() ?? { selection: selectCard(build, cards), build, module }
  const { computing, selecting } = tensorflow.selection
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
    rememberLoaded(tensorflow)
    const card = cardInUse()
    const place = card ? cardText(card) : `the ${device}`
    const isComplete = hasGraphs && (hasFusedOps || device === 'GPU')
    const description = `TensorFlow ${version} on ${place}, ${origin}${hasGraphs ? '' : ', op by op'}${isComplete ? '' : olderAddon}`
    return { description }
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
