/** NVIDIA's graphics cards: which ones this machine has, which of them this process may use, what TensorFlow cannot do with one, and which one is chosen. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ProgramError, runProgram } from './programs.ts'

/** What the driver reports of a card. It may leave out everything but the name. */
export type Card = {
  /** The number that nvidia-smi gives the card, in the order of the PCI bus. */
  index: number
  name: string
  uuid?: string
  /** Missing where the card shares the memory of the machine. */
  totalBytes?: number
  freeBytes?: number
  /** The version of the driver. */
  driver?: string
  /** As in `8.6`. */
  computeCapability?: string
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

/** Drivers before 510 do not know `compute_cap`, and answer nothing if they are asked for it. */
const fieldLists = [
  'index,uuid,name,driver_version,memory.total,memory.free,compute_cap',
  'index,uuid,name,driver_version,memory.total,memory.free',
]

/**
 * The cards of this machine, in the order of their numbers: from nvidia-smi, or without memory and compute capability from the driver's files where
 * nvidia-smi is missing or fails. Empty where there is no driver. Takes a few seconds at most.
 */
export async function readCards(sources: Partial<CardSources> = {}): Promise<Card[]> {
  const { programs, driverFolder, timeoutSeconds } = { ...systemSources, ...sources }
  for (const program of programs)
    for (const fields of fieldLists) {
      const query = [`--query-gpu=${fields}`, '--format=csv,noheader,nounits']
      const answer = await answerOf(program, query, timeoutSeconds)
      if (typeof answer === 'string') return parseCards(answer)
      if (answer.isMissing) break
      if (answer.timedOut) return readDriverFiles(driverFolder)
    }
  return readDriverFiles(driverFolder)
}

async function answerOf(program: string, args: string[], timeoutSeconds: number): Promise<string | ProgramError> {
  try {
    return await runProgram(program, args, { timeoutSeconds })
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error
    return /no devices were found/i.test(error.message) ? '' : error
  }
}

/** @param csv lines of `index, uuid, name, driver, total MiB, free MiB, compute capability`. Other lines are messages. */
export function parseCards(csv: string): Card[] {
  const rows = csv.split('\n').map((line) => line.split(',').map((field) => field.trim()))
  return rows.flatMap(([index = '', uuid = '', name = '', driver = '', total = '', free = '', capability = '']) => {
    if (!/^\d+$/.test(index) || name === '') return []
    return {
      index: Number(index),
      name,
      ...(uuid.startsWith('GPU-') && { uuid }),
      ...(/^\d+$/.test(total) && Number(total) > 0 && { totalBytes: Number(total) * 2 ** 20 }),
      ...(/^\d+$/.test(free) && Number(total) > 0 && { freeBytes: Number(free) * 2 ** 20 }),
      ...(/^[\d.]+$/.test(driver) && { driver }),
      ...(/^\d+\.\d+$/.test(capability) && { computeCapability: capability }),
    }
  })
}

/** The files of the driver name the cards by their address on the PCI bus. */
function readDriverFiles(folder: string): Card[] {
  const [, driver] = /Kernel Module\D*?\s([\d.]+)\s/.exec(textOf(join(folder, 'version'))) ?? []
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

/** What a build of TensorFlow for CUDA needs. */
export type CudaBuild = {
  /** As in `TensorFlow 2.21`. */
  name: string
  /** The oldest and the newest compute capability that it has code for. */
  computeCapabilities: readonly [string, string]
  /** The oldest driver that runs its version of CUDA. */
  driver: string
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
