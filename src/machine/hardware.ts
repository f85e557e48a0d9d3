/** The machine, as far as it matters to a training. */
import { existsSync, lstatSync, readdirSync, readFileSync, statfsSync } from 'node:fs'
import { availableParallelism, cpus, freemem, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { ProgramError, runProgram } from './programs.ts'

export type Processor = { model: string; threads: number; bfloat16: string[] }

/** @param flags what the processor says it can do. */
export function readProcessor(flags = instructionSets() ?? []): Processor {
  const model = cpus()[0]?.model.trim() || process.arch
  return { model, threads: availableParallelism(), bfloat16: flags.filter((flag) => /bf16/.test(flag)) }
}

export type Memory = { totalBytes: number; freeBytes: number }

/** A container may allow less than the machine has. */
export function readMemory(): Memory {
  const allowed = process.constrainedMemory()
  const totalBytes = allowed > 0 ? Math.min(allowed, totalmem()) : totalmem()
  return { totalBytes, freeBytes: Math.min(freemem(), totalBytes) }
}

/** The names of NVIDIA's cards, as their driver tells. */
export function readCards(folder = '/proc/driver/nvidia/gpus'): string[] {
  if (!existsSync(folder)) return []
  const texts = readdirSync(folder).map((name) => textOf(join(folder, name, 'information')))
  return texts.map((text) => text.match(/^Model:\s*(.*)$/m)?.[1] ?? 'unknown')
}

export type VideoMemory = { totalBytes: number; freeBytes: number }

/** What the first card has, from nvidia-smi's `total, free` in MiB; undefined where it has no such memory of its own. */
export function parseVideoMemory(csv: string): VideoMemory | undefined {
  const [, total, free] = /^\s*(\d+)\s*,\s*(\d+)/.exec(csv) ?? []
  return total && free ? { totalBytes: Number(total) * 2 ** 20, freeBytes: Number(free) * 2 ** 20 } : undefined
}

/** The memory of the first NVIDIA card; undefined where its driver reports none. */
export async function readVideoMemory(): Promise<VideoMemory | undefined> {
  try {
    const query = ['--query-gpu=memory.total,memory.free', '--format=csv,noheader,nounits']
    return parseVideoMemory(await runProgram('nvidia-smi', query))
  } catch (error) {
    if (error instanceof ProgramError) return undefined
    throw error
  }
}

/** Passwords in them are nobody's business. */
export function readProxies(env: NodeJS.ProcessEnv = process.env): Record<string, string> {
  const given = Object.entries(env).filter(([name, value]) => /^(https?|all|no)_proxy$/i.test(name) && value)
  return Object.fromEntries(given.map(([name, value = '']) => [name, value.replace(/\/\/[^/@]*@/, '//…@')]))
}

/** What is free on the disk of a path that need not exist yet. */
export function freeBytesAt(path: string): number {
  const parent = dirname(path)
  if (!existsSync(path) && parent !== path) return freeBytesAt(parent)
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
}

/** All files below a folder; 0 where it does not exist. */
export function bytesIn(folder: string): number {
  if (!existsSync(folder)) return 0
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  return names.reduce((sum, name) => sum + fileBytes(join(folder, name)), 0)
}

/** Links count as nothing, and so does what was removed since it was listed. */
function fileBytes(path: string): number {
  const found = lstatSync(path, { throwIfNoEntry: false })
  return found?.isFile() ? found.size : 0
}

/** What the processor can do, as far as the system tells. */

/** The instruction sets of an x86 processor under Linux; undefined where nothing names them. */
export function instructionSets(cpuinfo = textOf('/proc/cpuinfo')): readonly string[] | undefined {
  return cpuinfo
    .match(/^flags\s*:(.*)$/m)?.[1]
    ?.trim()
    .split(/\s+/)
}

/** AVX-512 or what came after it, where TensorFlow's kernels for bfloat16 begin. True where nothing is known. */
export function hasWideVectors(): boolean {
  wide ??= instructionSets()?.some((name) => /^(avx512|amx)/.test(name)) ?? true
  return wide
}

/** The answer, for products ask for it in every layer. */
let wide: boolean | undefined

const textOf = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '')
