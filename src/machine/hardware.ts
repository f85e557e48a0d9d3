/** Processor, memory and disks, as far as they matter to a training. */
import { type Dirent, existsSync, lstatSync, readdirSync, readFileSync, statfsSync } from 'node:fs'
import { availableParallelism, cpus, freemem, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { sum } from '../platform/statistics.ts'
import { maskedUrl } from '../platform/text.ts'

export type Processor = { model: string; threads: number; bfloat16: string[] }

/** @param flags the instruction sets. */
export function readProcessor(flags = instructionSets() ?? []): Processor {
  const model = cpus()[0]?.model.trim() || process.arch
  return { model, threads: availableParallelism(), bfloat16: flags.filter((flag) => /bf16/.test(flag)) }
}

/**
 * The number of physical cores that this process may use. A second thread on a core makes matrix products no faster.
 * @param cpuinfo the content of /proc/cpuinfo; elsewhere than on Linux, x86 processors are taken to have two threads per core.
 */
export function physicalCores(cpuinfo = textOf('/proc/cpuinfo'), quota = textOf('/sys/fs/cgroup/cpu.max')): number {
  const threads = availableParallelism()
  const listed = new Set(
    [...cpuinfo.matchAll(/^physical id\s*:\s*(\d+)[\s\S]*?^core id\s*:\s*(\d+)/gm)].map(
      ([, socket, core]) => `${socket}/${core}`,
    ),
  ).size
  const cores = listed || (process.platform !== 'linux' && process.arch === 'x64' ? Math.ceil(threads / 2) : threads)
  const [, used, period] = /^(\d+) (\d+)/.exec(quota) ?? [] // a container's share, in microseconds
  const share = used && period ? Math.max(1, Math.floor(Number(used) / Number(period))) : Infinity
  return Math.max(1, Math.min(cores, threads, share))
}

/** The limit on the address space of this process in bytes, as `ulimit -v` sets it; infinite where there is none or the system does not say. */
export function addressSpaceLimit(limits = textOf('/proc/self/limits')): number {
  const [, bytes] = /^Max address space\s+(\d+)/m.exec(limits) ?? []
  return bytes === undefined ? Number.POSITIVE_INFINITY : Number(bytes)
}

/** How many logical processors of the machine are not used by other processes. @param seconds how long to observe them. */
export async function idleProcessors(seconds: number): Promise<number> {
  const before = processorTimes()
  await setTimeout(1000 * seconds)
  return idleProcessorsBetween(before, processorTimes())
}

/** In milliseconds since the start of the machine, over all logical processors; `own` is what this process used. */
export type ProcessorTimes = { processors: number; busy: number; idle: number; own: number }

export function idleProcessorsBetween(before: ProcessorTimes, after: ProcessorTimes): number {
  const elapsed = (after.busy + after.idle - before.busy - before.idle) / after.processors
  const byOthers = Math.max(0, after.busy - before.busy - (after.own - before.own))
  return elapsed > 0 ? after.processors - byOthers / elapsed : after.processors
}

function processorTimes(): ProcessorTimes {
  const { user, system } = process.cpuUsage()
  const times = cpus().map(({ times }) => times)
  const busy = sum(times.map(({ user, nice, sys, irq }) => user + nice + sys + irq))
  return { processors: times.length, busy, idle: sum(times.map(({ idle }) => idle)), own: (user + system) / 1000 }
}

/** The instruction sets of an x86 processor under Linux; undefined where the system does not list them. */
export function instructionSets(cpuinfo = textOf('/proc/cpuinfo')): readonly string[] | undefined {
  return cpuinfo
    .match(/^flags\s*:(.*)$/m)?.[1]
    ?.trim()
    .split(/\s+/)
}

/** Whether the processor has AVX-512 or AMX, which TensorFlow's bfloat16 kernels need. True where it is unknown. */
export function hasWideVectors(): boolean {
  avx512 ??= instructionSets()?.some((name) => /^(avx512|amx)/.test(name)) ?? true
  return avx512
}

/** Read once, because every layer asks for it. */
let avx512: boolean | undefined

export type Memory = { totalBytes: number; freeBytes: number }

/** Respects the memory limit of a container. */
export function readMemory(): Memory {
  const allowed = process.constrainedMemory()
  const totalBytes = allowed > 0 ? Math.min(allowed, totalmem()) : totalmem()
  return { totalBytes, freeBytes: Math.min(freemem(), totalBytes) }
}

/** The proxies of the environment, without their passwords. */
export function readProxies(env: NodeJS.ProcessEnv = process.env): Record<string, string> {
  const proxies = Object.entries(env).filter(([name, value]) => /^(https?|all|no)_proxy$/i.test(name) && value)
  return Object.fromEntries(proxies.map(([name, value = '']) => [name, maskedUrl(value)]))
}

/** The free bytes on the disk of a path, which need not exist yet. */
export function freeBytesAt(path: string): number {
  const parent = dirname(path)
  if (!existsSync(path) && parent !== path) return freeBytesAt(parent)
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
}

/** The size of all files below a folder; 0 where it does not exist. Links count as 0, also those to folders. */
export function bytesIn(folder: string): number {
  const sizes = entriesOf(folder).map((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? bytesIn(path) : entry.isFile() ? fileBytes(path) : 0
  })
  return sum(sizes)
}

/** Empty for a folder of another user that cannot be read. */
function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    if (!['EACCES', 'EPERM', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    return []
  }
}

/** Files that were removed since they were listed count as 0. */
const fileBytes = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.size ?? 0

const textOf = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8') : '')
