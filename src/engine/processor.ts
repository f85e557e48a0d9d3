/** What the processor can do, as far as the system tells. */
import { existsSync, readFileSync } from 'node:fs'

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
