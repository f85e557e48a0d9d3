import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, extname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeTempFolder } from '../../src/platform/temp-folder.ts'

const newFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-files-'))

const foldersIn = (path: string) =>
  readdirSync(path)
    .filter((name) => name.startsWith('ltx-a2a-'))
    .sort()

/** The module, for programs. */
const temp = JSON.stringify(new URL('../../src/platform/temp-folder.ts', import.meta.url).href)

async function inTmpdir<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const { TMPDIR } = process.env
  process.env.TMPDIR = folder
  try {
    return await work()
  } finally {
    process.env.TMPDIR = TMPDIR
  }
}

it('a missing folder for temporary files is reported', async () => {
  await expect(inTmpdir('/nowhere', makeTempFolder)).rejects.toMatchObject({
    name: 'UserError',
    message: 'there is no folder /nowhere for temporary files',
  })
})

describe('a temporary folder', () => {
  it('returns a new path for each file and is removed with its files', async () => {
    const folder = await makeTempFolder()
    const paths = [folder.newFile('.wav'), folder.newFile('.wav'), folder.newFile('')]
    expect(new Set(paths).size).toBe(3)
    expect(paths.map((path) => extname(path))).toEqual(['.wav', '.wav', ''])
    for (const path of paths) writeFileSync(path, 'x')
    await folder.remove()
    expect(paths.some(existsSync)).toBe(false)
    expect(existsSync(dirname(paths[0] as string))).toBe(false)
  })

  it('leaves no listeners on the process', async () => {
    const before = process.listenerCount('exit')
    const folders = await Promise.all(Array.from({ length: 20 }, makeTempFolder))
    expect(process.listenerCount('exit')).toBeLessThanOrEqual(before + 1)
    for (const folder of folders) await folder.remove()
    expect(process.listenerCount('exit')).toBe(before)
  })

  it('is removed when the process exits', () => {
    const temporary = newFolder()
    const program = `
      import { makeTempFolder } from ${temp}
      await makeTempFolder()
      process.exit(7)`
    const { status } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
      env: { ...process.env, TMPDIR: temporary },
    })
    expect(status).toBe(7)
    expect(foldersIn(temporary)).toEqual([])
  })

  it('of a process that was killed is removed by the next one, and no other', async () => {
    const temporary = newFolder()
    const program = `
      import { makeTempFolder } from ${temp}
      const { newFile } = await makeTempFolder()
      console.log(newFile('.wav'))
      process.kill(process.pid, 'SIGKILL')`
    const env = { ...process.env, TMPDIR: temporary }
    const run = ['--import', 'tsx', '--input-type=module', '-e']
    spawnSync(process.execPath, [...run, program], { env })
    expect(foldersIn(temporary)).toHaveLength(1)
    mkdirSync(join(temporary, 'ltx-a2a-123456')) // of an earlier version, or of a process that is just starting
    const { newFile, remove } = await inTmpdir(temporary, makeTempFolder) // of a process that runs
    const own = basename(dirname(newFile('')))
    const next = `import { makeTempFolder } from ${temp}; await makeTempFolder()`
    expect(spawnSync(process.execPath, [...run, next], { env }).status).toBe(0)
    expect(foldersIn(temporary)).toEqual(['ltx-a2a-123456', own].sort())
    await remove()
  })
})
