/** Fake programs `nvidia-smi`, and what the real one answers for some cards. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The fields of `nvidia-smi --query-gpu`. */
export type CardFields = {
  uuid: string
  name: string
  driver_version: string
  'memory.total': string
  'memory.free': string
  /** Missing in drivers before 510. */
  compute_cap?: string
  /** `[N/A]` where it is left out. */
  'mig.mode.current'?: string
}

const uuid = (digit: number) => `GPU-${`${digit}`.repeat(8)}-d33d-2b2c-524d-9e3d8d2b8a7${digit}`

/** Cards as nvidia-smi reports them, with memory in MiB. */
export const cards = {
  rtx3070: {
    uuid: uuid(3),
    name: 'NVIDIA GeForce RTX 3070',
    driver_version: '535.183.01',
    'memory.total': '8192',
    'memory.free': '7812',
    compute_cap: '8.6',
  },
  rtx4090: {
    uuid: uuid(4),
    name: 'NVIDIA GeForce RTX 4090',
    driver_version: '550.144.03',
    'memory.total': '24564',
    'memory.free': '24010',
    compute_cap: '8.9',
  },
  rtx5090: {
    uuid: uuid(5),
    name: 'NVIDIA GeForce RTX 5090',
    driver_version: '570.133.07',
    'memory.total': '32607',
    'memory.free': '32100',
    compute_cap: '12.0',
  },
  gtx980: {
    uuid: uuid(9),
    name: 'NVIDIA GeForce GTX 980',
    driver_version: '535.183.01',
    'memory.total': '4096',
    'memory.free': '4000',
    compute_cap: '5.2',
  },
  /** Its driver is too old for CUDA 12, and does not know `compute_cap`. */
  oldDriver: {
    uuid: uuid(1),
    name: 'Tesla T4',
    driver_version: '470.82.01',
    'memory.total': '15109',
    'memory.free': '15000',
  },
  /** It shares the memory of the machine. */
  integrated: {
    uuid: uuid(7),
    name: 'NVIDIA GH200',
    driver_version: '550.54.15',
    'memory.total': '[N/A]',
    'memory.free': '[N/A]',
    compute_cap: '9.0',
  },
} satisfies Record<string, CardFields>

/** @returns a folder with an `nvidia-smi` that reports these cards. */
export function fakeNvidiaSmi(...cards: CardFields[]): string {
  const source = `const cards = ${JSON.stringify(cards.map((card, index) => ({ index, ...card })))}
const fields = process.argv.find((arg) => arg.startsWith('--query-gpu=')).slice(12).split(',')
const unknown = cards.length > 0 && fields.find((field) => !(field in cards[0]) && field !== 'mig.mode.current')
if (unknown) console.log(\`Field "\${unknown}" is not a valid field to query.\`)
else if (cards.length === 0) console.log('No devices were found')
else for (const card of cards) console.log(fields.map((field) => card[field] ?? '[N/A]').join(', '))
process.exitCode = unknown ? 2 : cards.length === 0 ? 6 : 0
`
  return fakeProgram(`#!${process.execPath}\n${source}`)
}

/** @returns a folder with an `nvidia-smi` of this text. */
export function fakeProgram(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-nvidia-'))
  writeFileSync(join(folder, 'nvidia-smi'), text, { mode: 0o755 })
  return folder
}
