/** Signals: the first stops the run after the step and saves it, the second exits at once. Neither leaves temporary files. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { leftoverFiles } from '../../scripts/reliability/run-content.ts'
import { tinyRun, writeTinyData } from '../../scripts/reliability/tiny-data.ts'
import { findFfmpeg } from '../../src/audio/ffmpeg.ts'
import { readLora } from '../../src/model/lora-file.ts'
import { projectPath, spawnLtxA2a } from '../cli/bin.ts'
import { needs } from '../needs.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
beforeAll(() => writeTinyData(folder))
afterAll(() => rmSync(folder, { recursive: true }))

const train = (out: string) => ['train', ...tinyRun, '--rank', '4', '--number-of-steps', '200', '--out', out]

it.each([
  ['SIGTERM', 143],
  ['SIGHUP', 129], // the terminal is closed
] as const)(
  '%s saves the run and the LoRA so far, prints how to resume it, and exits with %i',
  async (signal, expectedCode) => {
    const interrupt = { at: 'Training: ', signal }
    const { code, stderr } = await spawnLtxA2a(train(signal), { cwd: folder, interrupt })
    const [, step, lora = ''] =
      /stopped after step (\d+) of 200; the run is saved, with the LoRA so far in (SIG.*)\n {2}to continue: ltx-a2a train --resume SIG/.exec(
        stderr,
      ) ?? []
    expect(lora).toBe(join(signal, 'lora.safetensors'))
    expect(readLora(join(folder, lora)).metadata.steps).toBe(step)
    expect(code).toBe(expectedCode)
    expect(readdirSync(join(folder, signal))).toContain('state.safetensors')
    expect(leftoverFiles(join(folder, signal))).toEqual([])
  },
)

it('Ctrl-C saves the run even if the reader of stderr has exited', async () => {
  const child = spawn(process.execPath, [projectPath('bin/ltx-a2a.js'), ...train('unread')], {
    cwd: folder,
    env: { ...process.env, LTX_A2A_CACHE: folder },
  })
  const closed = new Promise((resolve) => child.on('close', resolve))
  await new Promise<void>((resolve) => {
    child.stderr.on('data', (text) => String(text).includes('Training: ') && resolve())
    child.on('close', () => resolve())
  })
  child.stderr.destroy() // as if the same Ctrl-C stopped `tee`
  child.kill('SIGINT')
  expect(await closed).toBe(130)
  expect(readdirSync(join(folder, 'unread'))).toContain('state.safetensors')
  expect(leftoverFiles(join(folder, 'unread'))).toEqual([])
})

it.skipIf(process.platform === 'win32').for([
  ['the dataset is read', '*-version*|*-filters*) ;; *'],
  ['ffmpeg is searched for', '*-version*'],
] as const)(
  'Ctrl-C while %s does not reach ffmpeg, reports no recording as unreadable, and creates no folder',
  needs('process groups, which Windows does not have'),
  async ([_, slowCase]) => {
    const { path } = await findFfmpeg()
    const home = mkdtempSync(join(folder, 'slow-'))
    const [slow, marker] = [join(home, 'slow-ffmpeg'), join(home, 'marker')]
    const script = `case "$*" in ${slowCase}) touch '${marker}'; sleep 1;; esac; exec '${path}' "$@"`
    writeFileSync(slow, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
    const child = spawn(process.execPath, [projectPath('bin/ltx-a2a.js'), ...train('group')], {
      cwd: folder,
      env: { ...process.env, FFMPEG_PATH: slow, LTX_A2A_CACHE: folder },
      detached: true, // in its own process group, as in a shell
    })
    let output = ''
    child.stderr.on('data', (text) => {
      output += text
    })
    const closed = new Promise((resolve) => child.on('close', resolve))
    while (!existsSync(marker) && child.exitCode === null) await sleep(20)
    process.kill(-(child.pid as number), 'SIGINT')
    expect(await closed, output).toBe(130)
    expect(output).not.toMatch(/cannot be read/)
    expect(output).toContain('stopped before training began')
    expect(existsSync(join(folder, 'group'))).toBe(false)
  },
)

it.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('a second %s exits at once with %i, and removes the lock and the temporary files', async (signal, code) => {
  const temp = join(folder, `temp-${signal}`)
  const run = join(folder, `run-${signal}`)
  mkdirSync(temp)
  const from = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)
  const program = `
    import { watchSignals } from ${from('cli/run-command.ts')}
    import { makeTempFolder } from ${from('platform/temp-folder.ts')}
    import { lockFolder } from ${from('platform/lock.ts')}
    watchSignals(() => console.log('stopping'))
    await makeTempFolder()
    lockFolder(${JSON.stringify(run)})
    setInterval(() => {}, 1000)
    console.log('ready')`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    env: { ...process.env, TMPDIR: temp },
  })
  let output = ''
  child.stdout.on('data', (text) => {
    output += text
    child.kill(signal)
    child.kill(signal) // as timeout and npx do: it counts once
    if (output.includes('stopping')) setTimeout(() => child.kill(signal), 500)
  })
  expect(await new Promise((resolve) => child.on('close', resolve))).toBe(code)
  expect(output).toBe('ready\nstopping\n')
  expect(readdirSync(run)).toEqual([])
  expect(readdirSync(temp).filter((name) => name.startsWith('ltx-a2a'))).toEqual([])
})
