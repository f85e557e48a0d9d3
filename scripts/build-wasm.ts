/**
 * `npm run build:wasm` compiles `wasm/` and writes the result as `src/engine/wasm-binary.ts`, which is part of the repository: the compiler is large, and
 * only those who change `wasm/` need it. `--check` fails if the file is not what the source compiles to.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const compiler = 'assemblyscript@0.28.20'
const source = fileURLToPath(new URL('../wasm/anti-aliased-snake.ts', import.meta.url))
const target = fileURLToPath(new URL('../src/engine/wasm-binary.ts', import.meta.url))

const module = `/** Made by \`npm run build:wasm\` from \`wasm/\`. */
export const wasmSourceSha256 = '${createHash('sha256').update(readFileSync(source)).digest('hex')}'

export const wasmBinary =
  '${compile().toString('base64')}'
`
if (!process.argv.includes('--check')) writeFileSync(target, module)
else if (readFileSync(target, 'utf8') === module) console.log('src/engine/wasm-binary.ts is what wasm/ compiles to')
else {
  console.error('src/engine/wasm-binary.ts is not what wasm/ compiles to: run npm run build:wasm')
  process.exitCode = 1
}

function compile(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-wasm-'))
  try {
    const binary = join(folder, 'kernels.wasm')
    const options = ['-O3', '--runtime', 'stub', '--enable', 'simd', '--noAssert', '--outFile', binary]
    execFileSync('npm', ['exec', '--yes', `--package=${compiler}`, '--', 'asc', source, ...options], {
      stdio: 'inherit',
    })
    return readFileSync(binary)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
