import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  addressSpaceLimit,
  bytesIn,
  freeBytesAt,
  idleProcessors,
  idleProcessorsBetween,
  instructionSets,
  physicalCores,
  readProcessor,
  readProxies,
} from '../../src/machine/hardware.ts'

const newFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-doctor-'))

describe('the machine report contains', () => {
  it('the bfloat16 instruction sets of the processor', () => {
    const cpuinfo =
      'processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16 amx_bf16 amx_int8\n\nprocessor\t: 1\nflags\t\t: fpu\n'
    expect(readProcessor(instructionSets(cpuinfo)).bfloat16).toEqual(['avx512_bf16', 'amx_bf16'])
    expect(instructionSets('')).toBeUndefined() // not x86 or not Linux
    expect(readProcessor([]).bfloat16).toEqual([])
  })

  it('the number of physical cores that may be used', () => {
    const core = (socket: number, id: number) => `physical id\t: ${socket}\ncore id\t\t: ${id}\n\n`
    const threads = availableParallelism()
    const atMost = (cores: number) => Math.min(cores, threads)
    expect(physicalCores(core(0, 0) + core(0, 0), '')).toBe(1) // two threads of one core
    expect(physicalCores(core(0, 0) + core(0, 1) + core(0, 0) + core(0, 1), 'max 100000')).toBe(atMost(2))
    expect(physicalCores(core(0, 0) + core(1, 0), '')).toBe(atMost(2)) // cores of two sockets
    expect(physicalCores('', '150000 100000\n')).toBe(1) // a container that may use one and a half
    expect(physicalCores('', '50000 100000\n')).toBe(1)
    expect(physicalCores('', '')).toBeLessThanOrEqual(threads)
  })

  it('the limit on the address space', () => {
    const limits = (limit: string) =>
      `Max cpu time  unlimited unlimited seconds\nMax address space  ${limit}  unlimited  bytes\n`
    expect(addressSpaceLimit(limits('14336000000'))).toBe(14_336_000_000)
    expect(addressSpaceLimit(limits('unlimited'))).toBe(Number.POSITIVE_INFINITY)
    expect(addressSpaceLimit('')).toBe(Number.POSITIVE_INFINITY)
  })

  it('the number of processors that other processes leave idle', async () => {
    const before = { processors: 2, busy: 1000, idle: 5000, own: 40 }
    // within 100 ms, one processor was busy all the time and the other 30 ms
    const after = { processors: 2, busy: 1130, idle: 5070 }
    expect(idleProcessorsBetween(before, { ...after, own: 40 })).toBeCloseTo(0.7, 5)
    expect(idleProcessorsBetween(before, { ...after, own: 140 })).toBeCloseTo(1.7, 5)
    expect(idleProcessorsBetween(before, { ...after, own: 180 })).toBe(2) // the system counts less precisely than the process
    expect(idleProcessorsBetween(before, before)).toBe(2) // it has counted nothing yet
    expect(await idleProcessors(0.02)).toBeLessThanOrEqual(cpus().length)
  })

  it('proxies without their passwords', () => {
    const [HTTPS_PROXY, http_proxy] = ['http://me:sec@ret@proxy:3128', 'me:secret@proxy:3128']
    const env = { HTTPS_PROXY, http_proxy, no_proxy: 'localhost', all_proxy: '', PATH: '/bin' }
    const shown = { HTTPS_PROXY: 'http://…@proxy:3128', http_proxy: '…@proxy:3128', no_proxy: 'localhost' }
    expect(readProxies(env)).toEqual(shown)
  })

  it('the total size of a folder', () => {
    const folder = newFolder()
    mkdirSync(join(folder, 'a', 'b'), { recursive: true })
    writeFileSync(join(folder, 'one'), Buffer.alloc(10))
    writeFileSync(join(folder, 'a', 'b', 'two'), Buffer.alloc(32))
    expect(bytesIn(folder)).toBe(42)
    expect(bytesIn(join(folder, 'none'))).toBe(0)
  })

  it('the size of a folder without what links to other folders lead to', () => {
    const [folder, other] = [newFolder(), newFolder()]
    writeFileSync(join(other, 'large'), 'x'.repeat(1000))
    writeFileSync(join(folder, 'small'), 'x')
    symlinkSync(other, join(folder, 'link'), 'dir')
    symlinkSync(folder, join(folder, 'circle'), 'dir')
    expect(bytesIn(folder)).toBe(1)
  })

  it('the free space for a folder that does not exist yet', () => {
    const folder = newFolder()
    expect(freeBytesAt(join(folder, 'not', 'yet'))).toBeGreaterThan(0)
  })
})
