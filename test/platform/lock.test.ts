import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { holderOf, lockFile, lockFolder, type Owner, thisProcess } from '../../src/platform/lock.ts'

const home = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(home, { recursive: true }))
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(home, 'run-'))
})
const lockPath = () => join(folder, lockFile)
const lockOf = (owner: Partial<Owner>) => JSON.stringify({ ...thisProcess(), ...owner })

describe('a lock', () => {
  it('keeps everyone else out until it is released', () => {
    const lock = lockFolder(folder)
    expect(() => lockFolder(folder)).toThrow(
      expect.objectContaining({
        name: 'UserError',
        message: `${folder} is being written by process ${process.pid}`,
        hint: expect.stringContaining(lockPath()),
      }),
    )
    lock.release()
    expect(readdirSync(folder)).toEqual([])
    lockFolder(folder).release()
  })

  it('makes the folder, and refuses a file', () => {
    lockFolder(join(folder, 'a', 'b')).release()
    expect(existsSync(join(folder, 'a', 'b'))).toBe(true)
    writeFileSync(join(folder, 'file'), '')
    expect(() => lockFolder(join(folder, 'file'))).toThrow(/is a file/)
  })

  it('is not released by one who lost it', () => {
    const lock = lockFolder(folder)
    writeFileSync(lockPath(), lockOf({ pid: 1 }))
    lock.release()
    expect(existsSync(lockPath())).toBe(true)
  })
})

describe('a lock of a process that is dead is broken', () => {
  const expectBroken = () => {
    const lock = lockFolder(folder)
    expect(readFileSync(lockPath(), 'utf8')).toBe(lockOf({}))
    expect(readdirSync(folder)).toEqual([lockFile])
    lock.release()
  }

  it('when nobody has its number', async () => {
    const child = spawn(process.execPath, ['-e', ''])
    await new Promise((resolve) => child.on('exit', resolve))
    writeFileSync(lockPath(), lockOf({ pid: child.pid as number }))
    expectBroken()
  })

  it('when its number is that of a later one', () => {
    writeFileSync(lockPath(), lockOf({ started: '1' }))
    expectBroken()
  })

  it('when the machine was started again since', () => {
    writeFileSync(lockPath(), lockOf({ boot: 'another' }))
    expectBroken()
  })

  it('when it was killed before it could say who it is', () => {
    writeFileSync(lockPath(), '')
    expect(() => lockFolder(folder)).toThrow(/a process that is just starting/)
    utimesSync(lockPath(), 1, 1)
    expectBroken()
  })
})

it('of another machine nobody can say that it is dead', () => {
  expect(holderOf({ text: lockOf({ host: 'elsewhere', pid: 7 }), seconds: 1e6 })).toBe('process 7 on elsewhere')
})

it('of many who want a dead one, one gets it', async () => {
  writeFileSync(lockPath(), lockOf({ started: '1' }))
  const program = `
    import { lockFolder } from ${JSON.stringify(new URL('../../src/platform/lock.ts', import.meta.url).href)}
    try { lockFolder(${JSON.stringify(folder)}); console.log('got it') } catch (error) { console.log(error.name) }
    process.stdin.resume()` // until the last has tried
  const children = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program]),
  )
  const said = await Promise.all(
    children.map((child) => new Promise<string>((resolve) => child.stdout.on('data', (text) => resolve(String(text))))),
  )
  for (const child of children) child.stdin.end()
  expect(said.map((text) => text.trim()).sort()).toEqual(['UserError', 'UserError', 'UserError', 'got it'])
})
