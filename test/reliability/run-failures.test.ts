/** Problems during a run: a loss that is not finite, a preview that fails, a full disk. */
import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { comparableContent, leftoverFiles } from '../../scripts/reliability/run-content.ts'
import { tinyOptions, writeTinyData } from '../../scripts/reliability/tiny-data.ts'
import { float32Bytes } from '../../src/formats/dtypes.ts'
import { writeSafetensors } from '../../src/formats/safetensors.ts'
import { openBase } from '../../src/model/base-model.ts'
import type { TrainEvent } from '../../src/train/events.ts'
import { createRunFolder } from '../../src/train/run-folder.ts'
import { train } from '../../src/train/train.ts'
import { inFolder, newFolder, projectPath } from '../cli/bin.ts'
import { needs } from '../needs.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
const cache = newFolder()
const env = { ...process.env, LTX_A2A_CACHE: cache }
const context = { cwd: folder, env: { LTX_A2A_CACHE: cache } }
const options = { ...tinyOptions, rank: 8, numberOfSteps: 10, checkpointInterval: 5 } as const
const loraOf = (name: string) => readFileSync(join(folder, name, 'lora.safetensors'))

beforeAll(async () => {
  writeTinyData(folder)
  await inFolder(context, () => train({ ...options, out: 'uninterrupted' }))
})
afterAll(() => rmSync(folder, { recursive: true }))

it('a loss that is not finite stops the run and is reported with its sigma and pair', async () => {
  const { checkpoint, textEncoder } = openBase()
  const tensors = new Map([...checkpoint.tensors.keys()].map((name) => [name, checkpoint.read(name)]))
  const name = 'model.diffusion_model.audio_proj_out.weight'
  const { shape = [] } = tensors.get(name) ?? {}
  const values = checkpoint.float32(name).map((value) => value * 1e25)
  tensors.set(name, { dtype: 'F32', shape, bytes: float32Bytes(values) })
  writeSafetensors(join(folder, 'huge.safetensors'), tensors, checkpoint.metadata)
  const base = { model: 'huge.safetensors', textEncoder: textEncoder as string }
  const diverged = inFolder(context, () => train({ ...options, ...base, out: 'diverged' }))
  await expect(diverged).rejects.toMatchObject({
    name: 'UserError',
    message: expect.stringMatching(
      /^training diverged at step 1, at sigma 0\.\d+ of the pair (hiss|rush|wind): the loss is (NaN|Infinity)/,
    ),
    hint: expect.stringContaining('--resume diverged --learning-rate <number>'),
  })
})

it.each(['preview', 'reconstruction'] as const)(
  'a listener that fails in a %s event ends the run, without a warning first',
  async (type) => {
    const warnings: string[] = []
    const onEvent = async (event: TrainEvent) => {
      if (event.type === 'warning' && event.message.includes('failed')) warnings.push(event.message)
      if (event.type === type) throw new Error('the listener failed')
    }
    const previews = { validation: [{ referenceAudioUrl: 'ref.wav' }], previewSteps: 1, previewCfg: 1 }
    const ended = inFolder(context, () =>
      train({ ...options, ...previews, out: `listener-${type}` }, { onEvent, reconstructions: 1 }),
    )
    await expect(ended).rejects.toThrow('the listener failed')
    expect(warnings).toEqual([])
    expect(existsSync(join(folder, `listener-${type}`, 'lora.safetensors'))).toBe(false)
  },
)

it('a preview that fails does not stop the training', async () => {
  const config = { tool: 'ltx-a2a', training_type: 'audio_to_audio_lora', trigger_phrase: '', parameters: {} } as const
  const { path } = createRunFolder(join(folder, 'blocked'), config)
  mkdirSync(join(path, 'audio.wav', 'blocker'), { recursive: true })
  const previews = { validation: [{ referenceAudioUrl: 'ref.wav' }], previewSteps: 1, previewInterval: 0 }
  const warnings: string[] = []
  const onEvent = (event: TrainEvent) => {
    if (event.type === 'warning') warnings.push(event.message)
  }
  await inFolder(context, () => train({ ...options, ...previews, out: 'blocked' }, { onEvent }))
  expect(warnings).toContainEqual(expect.stringMatching(/^the preview at step 10 failed: /))
  expect(loraOf('blocked').equals(loraOf('uninterrupted'))).toBe(true)
})

/** A small disk, mounted in a separate namespace. */
const namespace = process.getuid?.() === 0 ? '-m' : '-rm'
const canMount = spawnSync('unshare', [namespace, 'mount', '-t', 'tmpfs', 'none', tmpdir()]).status === 0

/** Trains, and fills the disk after step 7. The state at step 10 is the first later write that needs space. Prints the error. */
const trainUntilFull = `
import { writeFileSync } from 'node:fs'
import { train } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)}
const fill = () => {
  for (let bytes = 2 ** 20, files = 0; bytes >= 1; )
    try {
      writeFileSync('disk/filler-' + files++, Buffer.alloc(bytes))
    } catch {
      bytes = Math.floor(bytes / 2)
    }
}
const onEvent = (event) => event.type === 'step' && event.step === 7 && fill()
const options = ${JSON.stringify({ ...options, out: 'disk/run' })}
await train(options, { onEvent }).catch(({ name, message, hint }) => console.log([name, message, hint].join('\\n')))`

it.skipIf(!canMount)(
  'a full disk stops the run with one sentence; after space was freed, the resumed run gives the same bytes',
  needs('the right to mount a disk with unshare'),
  async () => {
    mkdirSync(join(folder, 'disk'))
    writeFileSync(join(folder, 'train-until-full.mjs'), trainUntilFull)
    const script = `
    mount -t tmpfs -o size=8m none disk
    node train-until-full.mjs
    rm disk/filler-*
    ls disk/run/checkpoints
    node ${projectPath('bin/ltx-a2a.js')} train --resume disk/run; echo "exit $?"
    cp -r disk/run copy`
    const { stdout } = await promisify(execFile)('unshare', [namespace, 'bash', '-c', script], { cwd: folder, env })
    expect(stdout.split('\n')).toEqual([
      'UserError',
      'there is no room for disk/run: the run stops after step 10',
      'make room, then resume from the last state: ltx-a2a train --resume disk/run',
      'lora_weights_step_00005.safetensors',
      'disk/run',
      'exit 0',
      '',
    ])
    expect(comparableContent(join(folder, 'copy'))).toEqual(comparableContent(join(folder, 'uninterrupted')))
    expect(leftoverFiles(join(folder, 'copy'))).toEqual([])
  },
)

it.skipIf(process.platform !== 'linux')(
  'a preview works where the address space has no room for a second WebAssembly memory',
  () => {
    const reference = readdirSync(join(folder, 'pairs')).find((name) => name.includes('_start')) as string
    const command = 'ulimit -c 0; ulimit -v 16777216; exec "$0" "$@"'
    const flags = ['--ref', join('pairs', reference), '--steps', '1', '--duration', '1', '--out', 'limited.wav']
    const args = [projectPath('bin/ltx-a2a.js'), 'preview', '--backend', 'wasm', ...flags]
    const { status, stderr } = spawnSync('sh', ['-c', command, process.execPath, ...args], { cwd: folder, env })
    expect([status, String(stderr)]).toEqual([0, expect.not.stringContaining('error')])
  },
)
