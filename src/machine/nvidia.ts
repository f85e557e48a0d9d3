/** NVIDIA's graphics cards: which ones this machine has, which of them this process may use, what TensorFlow cannot do with one, and which one is chosen. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { plain } from '../platform/text.ts'
import { ProgramError, runProgram } from './programs.ts'

/** What the driver reports of a card. It may leave out everything but the name. */
export type Card = {
  /** The number that nvidia-smi gives the card, in the order of the PCI bus. */
  index: number
  name: string
  uuid?: string
  /** Missing where the card shares the memory of the machine, or is partitioned. */
  totalBytes?: number
  freeBytes?: number
  /** The version of the driver. */
  driver?: string
  /** As in `8.6`. */
  computeCapability?: string
  /** Whether it is divided into parts (MIG), of which a process uses one. Their memory is not known. */
  isPartitioned?: boolean
}

/** The cards of a machine, in the order of their numbers. */
export type CardReading = {
  cards: Card[]
  /** What is wrong with nvidia-smi where it is there but names no cards, as in `nvidia-smi fails: …`. */
  failure?: string
}

/** Where cards are looked for. */
export type CardSources = {
  /** The places of nvidia-smi. */
  programs: readonly string[]
  /** Where the driver has its files. */
  driverFolder: string
  /** How long nvidia-smi may take to answer. */
  timeoutSeconds: number
}

const systemSources: CardSources = {
  programs: ['nvidia-smi', '/usr/lib/wsl/lib/nvidia-smi'],
  driverFolder: '/proc/driver/nvidia',
  timeoutSeconds: 5,
}

/** Drivers before 510 do not know `compute_cap`, and answer nothing if they are asked for it. The name is the last, because it may contain commas. */
const fieldLists = [
  'index,uuid,driver_version,memory.total,memory.free,compute_cap,mig.mode.current,name',
  'index,uuid,driver_version,memory.total,memory.free,name',
]

/** nvidia-smi answers with a few hundred bytes for each card. */
const maxAnswerBytes = 1e6

/**
 * The cards of this machine: from nvidia-smi, or without memory and compute capability from the driver's files where nvidia-smi is missing or fails. None
 * where there is no driver. Takes a few seconds at most.
 */
export async function readCards(sources: Partial<CardSources> = {}): Promise<CardReading> {
  const { programs, driverFolder, timeoutSeconds } = { ...systemSources, ...sources }
  let failure: string | undefined
  search: for (const program of programs)
    for (const fields of fieldLists) {
      const query = [`--query-gpu=${fields}`, '--format=csv,noheader,nounits']
      const answer = await answerOf(program, query, fields, timeoutSeconds)
      if (!(answer instanceof ProgramError)) return answer
      if (answer.isMissing) break
      failure = answer.timedOut ? plain(answer.message) : failureText(answer.message)
      if (answer.timedOut) break search // the next call would take as long
    }
  return { cards: readDriverFiles(driverFolder), ...(failure !== undefined && { failure }) }
}

async function answerOf(
  program: string,
  args: string[],
  fields: string,
  timeoutSeconds: number,
): Promise<CardReading | ProgramError> {
  try {
    const answer = await runProgram(program, args, { timeoutSeconds, maxBuffer: maxAnswerBytes })
    const cards = parseCards(answer, fields)
    if (cards.length > 0 || answer.trim() === '' || findsNone(answer)) return { cards }
    return new ProgramError(answer, {})
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error
    return findsNone(error.message) ? { cards: [] } : error
  }
}

const findsNone = (answer: string) => /no devices were found/i.test(answer)

const failureText = (message: string) => `nvidia-smi fails: ${plain(message).slice(0, 300)}`

/** @param csv lines of these fields, without units; memory is in MiB. Other lines are messages. */
export function parseCards(csv: string, fields = fieldLists[0] as string): Card[] {
  const names = fields.split(',')
  return csv.split('\n').flatMap((line) => {
    const values = line.split(',').map((value) => value.trim())
    const name = values.splice(names.length - 1).join(', ')
    const of = (field: string) => values[names.indexOf(field)] ?? ''
    if (!/^\d+$/.test(of('index')) || name === '') return []
    const [uuid, driver, capability] = [of('uuid'), of('driver_version'), of('compute_cap')]
    const isPartitioned = of('mig.mode.current') === 'Enabled'
    const bytes = (field: string) => (/^\d+$/.test(of(field)) ? Number(of(field)) * 2 ** 20 : 0)
    const total = isPartitioned ? 0 : bytes('memory.total')
    return {
      index: Number(of('index')),
      name,
      ...(uuid.startsWith('GPU-') && { uuid }),
      ...(total > 0 && { totalBytes: total }),
      ...(total > 0 && /^\d+$/.test(of('memory.free')) && { freeBytes: bytes('memory.free') }),
      ...(/^[\d.]+$/.test(driver) && { driver }),
      ...(/^\d+\.\d+$/.test(capability) && { computeCapability: capability }),
      ...(isPartitioned && { isPartitioned }),
    }
  })
}

/** The files of the driver name the cards by their address on the PCI bus. */
function readDriverFiles(folder: string): Card[] {
  const [, driver] = /Kernel Module.*?\s(\d+(?:\.\d+)+)\s/.exec(textOf(join(folder, 'version'))) ?? []
  const addresses = namesIn(join(folder, 'gpus')).sort()
  return addresses.map((address, index) => {
    const text = textOf(join(folder, 'gpus', address, 'information'))
    const [, name = 'unknown'] = /^Model:\s*(.+)$/m.exec(text) ?? []
    const [, uuid] = /^GPU UUID:\s*(GPU-[\da-f-]+)\s*$/m.exec(text) ?? [] // question marks until the card is first used
    return { index, name: name.trim(), ...(uuid && { uuid }), ...(driver && { driver }) }
  })
}

const namesIn = (folder: string) => (existsSync(folder) ? readdirSync(folder) : [])

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return '' // missing, or of another user
  }
}

/**
 * The cards that this process may use, in this order: those that `CUDA_VISIBLE_DEVICES` lists by number or by a beginning of their UUID. As in CUDA, the
 * first entry that names no card ends the list, so `-1` and an empty variable hide all cards. Numbers are those of nvidia-smi.
 */
export function visibleCards(cards: readonly Card[], variable = process.env.CUDA_VISIBLE_DEVICES): Card[] {
  if (variable === undefined) return [...cards]
  const visible: Card[] = []
  for (const entry of variable.split(',')) {
    const card = cardOf(entry.trim(), cards)
    if (!card) break
    if (!visible.includes(card)) visible.push(card)
  }
  return visible
}

/** Undefined where no card or several cards are meant. */
function cardOf(entry: string, cards: readonly Card[]): Card | undefined {
  if (/^\d+$/.test(entry)) return cards.find(({ index }) => index === Number(entry))
  const [card, another] = cards.filter(({ uuid }) => entry !== '' && uuid?.startsWith(entry))
  return another ? undefined : card
}

/** Whether `CUDA_VISIBLE_DEVICES` names parts of cards (MIG), which the list of cards does not have. */
export const namesCardParts = (variable = process.env.CUDA_VISIBLE_DEVICES) => /\bMIG-/.test(variable ?? '')

/** What a build of TensorFlow for CUDA needs. */
export type CudaBuild = {
  /** As in `TensorFlow 2.21`. */
  name: string
  /** The oldest and the newest compute capability that it has code for. */
  computeCapabilities: readonly [string, string]
  /** The oldest driver that runs its version of CUDA. */
  driver: string
  /** Whether this is a guess about a TensorFlow that does not say what it was built for. It may have no CUDA at all. */
  isAssumed?: boolean
}

/**
 * The wheel `tensorflow` 2.21: CUDA 12.5 with code for 6.0, 7.0, 8.0 and 8.9, and PTX for 9.0. Drivers from 525.60.13 on run every CUDA 12
 * (CUDA compatibility, "minor version compatibility").
 */
export const cudaWheel: CudaBuild = {
  name: 'TensorFlow 2.21',
  computeCapabilities: ['6.0', '9.0'],
  driver: '525.60.13',
}

/** Why a build of TensorFlow cannot use a card; undefined where it can, or where the driver does not say enough. */
export function obstacleOf({ driver, computeCapability }: Card, build = cudaWheel): string | undefined {
  if (driver !== undefined && isBefore(driver, build.driver))
    return `its driver ${driver} is too old for the CUDA of ${build.name}, which needs ${build.driver} or later`
  const [oldest, newest] = build.computeCapabilities
  if (computeCapability === undefined) return undefined
  if (isBefore(newest, computeCapability))
    return `its compute capability ${computeCapability} is newer than the code of ${build.name}, which ends with ${newest}`
  if (isBefore(computeCapability, oldest))
    return `its compute capability ${computeCapability} is older than the code of ${build.name}, which begins with ${oldest}`
  return undefined
}

/** Whether a version is older than another, number by number. */
export function isBefore(a: string, b: string): boolean {
  const [x, y] = [a, b].map((version) => version.split('.').map(Number)) as [number[], number[]]
  const i = y.findIndex((number, i) => number !== (x[i] ?? 0))
  return i >= 0 && (x[i] ?? 0) < (y[i] as number)
}

/** The card to compute on: the one with the most free memory of those that can be used, the first of several. Undefined where there is none. */
export function chooseCard(visible: readonly Card[], build = cudaWheel): Card | undefined {
  const usable = visible.filter((card) => obstacleOf(card, build) === undefined)
  return usable.reduce<Card | undefined>(
    (best, card) => (best && (best.freeBytes ?? 0) >= (card.freeBytes ?? 0) ? best : card),
    undefined,
  )
}

/** A card in messages, as in `GPU 0, NVIDIA GeForce RTX 4090`. */
export const cardText = ({ index, name }: Card) => `GPU ${index}, ${name}`
