import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { findFfmpeg, firstWorking, runFfmpeg } from '../../src/audio/ffmpeg.ts'
import { needs } from '../needs.ts'

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A shell script that prints a version and a filter list as ffmpeg does. */
function fakeFfmpeg(name: string, filters: string[]): string {
  const path = join(folder, name)
  const listing = filters.map((filter) => ` ..C ${filter}  A->A  Something.`).join('\n')
  writeFileSync(
    path,
    `#!/bin/sh\ncase "$*" in *-version*) echo "ffmpeg version 9.${name}";; *) echo "${listing}";; esac\n`,
  )
  chmodSync(path, 0o755)
  return path
}

const candidate = (from: string, path: string | undefined) => ({ from, path: async () => path })

test('ffmpeg is looked up once, with its version and its filters', async () => {
  const ffmpeg = await findFfmpeg()
  expect(ffmpeg.version).not.toBe('unknown')
  expect(ffmpeg.filters.get('atempo')).toBe('A->A')
  expect(await findFfmpeg()).toBe(ffmpeg)
})

test('the first candidate that exists and runs is used', async () => {
  const found = await firstWorking([
    candidate('a', undefined),
    candidate('b', join(folder, 'absent')),
    candidate('c', fakeFfmpeg('c', ['atempo'])),
    candidate('d', fakeFfmpeg('d', ['atempo', 'rubberband'])),
  ])
  expect(found).toEqual({ path: join(folder, 'c'), from: 'c', version: '9.c', filters: new Map([['atempo', 'A->A']]) })
})

test('an FFMPEG_PATH that does not run is an error, even if another candidate runs', async () => {
  const absent = join(folder, 'absent')
  const search = firstWorking([candidate('FFMPEG_PATH', absent), candidate('e', fakeFfmpeg('e', []))])
  await expect(search).rejects.toMatchObject({
    name: 'UserError',
    message: `FFMPEG_PATH is ${absent}, which does not run`,
  })
})

test('a missing ffmpeg is reported with a hint on installing it', async () => {
  await expect(firstWorking([candidate('a', undefined)])).rejects.toMatchObject({
    name: 'UserError',
    message: 'no ffmpeg was found',
    hint: 'install ffmpeg, or set FFMPEG_PATH to its binary',
  })
})

test('the error of a failed run contains the last lines of ffmpeg', async () => {
  const run = runFfmpeg(['-i', join(folder, 'absent.wav'), '-f', 'null', '-'], { onOutput: () => {} })
  await expect(run).rejects.toThrow('No such file or directory')
})

/** A graph that never gives any sound. */
const endless = ['-f', 'lavfi', '-i', 'anullsrc', '-af', 'atrim=start=1000000', '-f', 'null', '-']

test('an aborted signal stops ffmpeg', async () => {
  const controller = new AbortController()
  setTimeout(() => controller.abort(), 200)
  await expect(runFfmpeg(endless, { signal: controller.signal })).rejects.toMatchObject({ name: 'Interrupted' })
  await expect(runFfmpeg(endless, { signal: controller.signal })).rejects.toMatchObject({ name: 'Interrupted' })
})

test.skipIf(process.platform === 'win32')(
  'ffmpeg ends with the process that started it',
  needs('a shell'),
  async () => {
    const [fake, ticks] = [join(folder, 'endless'), join(folder, 'ticks')]
    const loop = `i=0; while [ $i -lt 600 ]; do echo tick >> '${ticks}'; sleep 0.05; i=$((i+1)); done`
    writeFileSync(fake, `#!/bin/sh\ncase "$*" in *-version*|*-filters*) ;; *) ${loop};; esac\n`, { mode: 0o755 })
    const from = JSON.stringify(new URL('../../src/audio/ffmpeg.ts', import.meta.url).href)
    const program = `import { runFfmpeg } from ${from}; process.on('SIGTERM', () => process.exit(7)); await runFfmpeg([])`
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
      env: { ...process.env, FFMPEG_PATH: fake },
    })
    const closed = new Promise((resolve) => child.on('exit', resolve))
    while (!existsSync(ticks)) await sleep(20)
    child.kill('SIGTERM')
    expect(await closed).toBe(7)
    const { size } = statSync(ticks)
    await sleep(300)
    expect(statSync(ticks).size).toBe(size)
  },
)
