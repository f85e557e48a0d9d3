/** A pull in a separate process from a local server: transferred bytes, peak memory, and resuming after a kill. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openSafetensors } from '../../src/formats/safetensors.ts'
import { randomFor, uniforms } from '../../src/platform/random.ts'
import { projectPath } from '../cli/bin.ts'
import { type RangeServer, serveRanges } from './range-server.ts'
import { type Synthetic, syntheticCheckpoint } from './synthetic-checkpoint.ts'

/** How often the pull is killed; set the variable for a longer test. */
const kills = Number(process.env.LTX_A2A_PULL_KILLS ?? 4)

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-pull-'))
let server: RangeServer
beforeAll(async () => {
  server = await serveRanges()
})
afterEach(() => {
  Object.assign(server, { requests: [], sent: 0, pause: 0 })
})
afterAll(async () => {
  await server.close()
  rmSync(folder, { recursive: true })
})

const reportMemory = "process.on('exit',()=>process.stderr.write('peak '+process.resourceUsage().maxRSS+' kB'))"

function startPull(
  from: string,
  out: string,
): { child: ChildProcess; ended: Promise<{ code: number | null; output: string }> } {
  const child = spawn(process.execPath, [projectPath('bin/ltx-a2a.js'), 'pull', from, '--out', out], {
    env: { ...process.env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(reportMemory)}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (output += text))
  return { child, ended: new Promise((resolve) => child.on('close', (code) => resolve({ code, output }))) }
}

const serve = (checkpoint: Synthetic) =>
  server.files.set('ltx.safetensors', { size: checkpoint.size, bytes: checkpoint.bytes, etag: '"one"' })

async function extractLocally(checkpoint: Synthetic, name: string): Promise<Buffer> {
  const [local, out] = [join(folder, name, 'ltx.safetensors'), join(folder, `${name}.safetensors`)]
  mkdirSync(join(folder, name), { recursive: true })
  checkpoint.writeTo(local)
  const { code, output } = await startPull(local, out).ended
  expect(code, output).toBe(0)
  rmSync(local)
  return readFileSync(out)
}

describe('a pull from a server', () => {
  // measured again where a busy machine delayed the collection of garbage: 8 % above the limit was seen
  it('transfers at most 2 % more than the audio tensors, uses less than 300 MB, and equals a local extraction', {
    retry: 1,
  }, async () => {
    const checkpoint = syntheticCheckpoint(8)
    expect([checkpoint.names.length, checkpoint.audioNames.length]).toEqual([5947, 2917])
    serve(checkpoint)
    const out = join(folder, 'whole.safetensors')
    rmSync(out, { force: true }) // of the first measurement
    const { code, output } = await startPull(server.url('ltx.safetensors'), out).ended
    expect(code, output).toBe(0)
    expect(server.sent / checkpoint.audioBytes).toBeLessThan(1.02)
    expect(server.sent).toBeGreaterThan(checkpoint.audioBytes)
    expect(peakOf(output)).toBeLessThan(300e6)
    expect(readFileSync(out).equals(await extractLocally(checkpoint, 'whole-here'))).toBe(true)
  })

  it('writes exactly the audio tensors with the metadata and their provenance', async () => {
    const checkpoint = syntheticCheckpoint(64)
    serve(checkpoint)
    const out = join(folder, 'small.safetensors')
    await startPull(server.url('ltx.safetensors'), out).ended
    const file = openSafetensors(out)
    expect([...file.tensors.keys()].sort()).toEqual([...checkpoint.audioNames].sort())
    expect(file.metadata).toMatchObject({ model_version: '2.3.0', license: 'text', config: '{"transformer":{}}' })
    expect(file.metadata.provenance).toMatch(
      /^2917 of 5947 tensors of ltx\.safetensors \(\d+ bytes, header [0-9a-f]{16}\)/,
    )
    for (const name of checkpoint.audioNames) {
      const { start, end } = checkpoint.placeOf(name)
      expect(Buffer.from(file.read(name).bytes).equals(checkpoint.bytes(start, end)), name).toBe(true)
    }
    file.close()
  })

  it('is not repeated when the output file is complete', async () => {
    const checkpoint = syntheticCheckpoint(64)
    serve(checkpoint)
    const out = join(folder, 'twice.safetensors')
    await startPull(server.url('ltx.safetensors'), out).ended
    server.sent = 0
    const { code, output } = await startPull(server.url('ltx.safetensors'), out).ended
    expect(output).toContain('Everything has been pulled already')
    expect(code).toBe(0)
    expect(server.sent).toBe(checkpoint.header.length + 1)
  })

  it(`that is killed ${kills} times never requests a finished range again and writes the same bytes`, async () => {
    const checkpoint = syntheticCheckpoint(16)
    serve(checkpoint)
    server.pause = 80 // longer, in all, than the kills wait
    const out = join(folder, 'killed.safetensors')
    const delays = uniforms(randomFor(Date.now(), 'kills'), kills, 0, 2000 / kills)
    for (const delay of delays) {
      const finished = journaled(out)
      server.requests.length = 0
      const { child, ended } = startPull(server.url('ltx.safetensors'), out)
      await firstRangeRequested(checkpoint, ended)
      await new Promise((resolve) => setTimeout(resolve, delay))
      child.kill('SIGKILL')
      await ended
      expectNotRequested(finished)
      expect(existsSync(out)).toBe(false)
    }
    const finished = journaled(out)
    expect(finished.length).toBeGreaterThan(0)
    server.requests.length = 0
    server.pause = 0
    const { code, output } = await startPull(server.url('ltx.safetensors'), out).ended
    expect(code, output).toBe(0)
    expectNotRequested(finished)
    expect(readFileSync(out).equals(await extractLocally(checkpoint, 'killed-here'))).toBe(true)
    expect(readdirSync(folder).filter((name) => name.startsWith('killed.safetensors.'))).toEqual([])
  })

  it('is stopped by Ctrl-C and prints how to continue', async () => {
    const checkpoint = syntheticCheckpoint(16)
    serve(checkpoint)
    server.pause = 50
    const out = join(folder, 'stopped.safetensors')
    const { child, ended } = startPull(server.url('ltx.safetensors'), out)
    await firstRangeRequested(checkpoint, ended)
    child.kill('SIGINT')
    const { code, output } = await ended
    expect(output).toMatch(/stopped; what has arrived is kept\n {2}to continue: run the same command again/)
    expect(code).toBe(130)
    expect(existsSync(out)).toBe(false)
  })
})

const peakOf = (output: string) => 1024 * Number(/peak (\d+) kB/.exec(output)?.[1])

type Done = [start: number, end: number]

/** The finished ranges in the journal of a partial file. */
function journaled(out: string): Done[] {
  const path = `${out}.partial.journal`
  if (!existsSync(path)) return []
  const text = readFileSync(path, 'utf8')
  const lines = text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean)
  return lines.flatMap((line) => {
    const { done } = JSON.parse(line) as { done?: Done }
    return done ? [done] : []
  })
}

function expectNotRequested(finished: readonly Done[]) {
  for (const [start, end] of finished)
    expect(server.requests.filter((request) => request.start < end && request.end > start)).toEqual([])
}

/** Resolves when the first bytes after the header are requested. */
async function firstRangeRequested({ header }: Synthetic, ended: Promise<unknown>) {
  let isOver = false
  void ended.then(() => (isOver = true))
  while (!isOver && !server.requests.some(({ start }) => start >= header.length))
    await new Promise((resolve) => setTimeout(resolve, 5))
}
