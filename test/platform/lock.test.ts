import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { breakLock, holderOf, lockFileName, lockFolder, type Owner, thisProcess } from '../../src/platform/lock.ts'

const home = mkdtempSync(join(tmpdir(), 'ltx-a2a-test-'))
afterAll(() => rmSync(home, { recursive: true }))
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(home, 'run-'))
})
const lockPath = () => join(folder, lockFileName)
const lockOf = (owner: Partial<Owner>) => JSON.stringify({ ...thisProcess(), ...owner })

describe('a lock', () => {
  it('is exclusive until it is released', () => {
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

  it('creates the folder and refuses a file', () => {
    lockFolder(join(folder, 'a', 'b')).release()
    expect(existsSync(join(folder, 'a', 'b'))).toBe(true)
    writeFileSync(join(folder, 'file'), '')
    expect(() => lockFolder(join(folder, 'file'))).toThrow(/is a file/)
  })

  it('leaves no listeners on the process', () => {
    const before = process.listenerCount('exit')
    lockFolder(folder).release()
    expect(process.listenerCount('exit')).toBe(before)
    lockFolder(folder).release()
    expect(process.listenerCount('exit')).toBe(before)
  })

  it('is unchanged when a second attempt fails', () => {
    const lock = lockFolder(folder)
    const content = readFileSync(lockPath(), 'utf8')
    expect(() => lockFolder(folder)).toThrow('is being written by')
    expect(readFileSync(lockPath(), 'utf8')).toBe(content)
    expect(readdirSync(folder)).toEqual([lockFileName])
    lock.release()
  })

  it('is not released by a previous owner', () => {
    const lock = lockFolder(folder)
    writeFileSync(lockPath(), lockOf({ pid: 1 }))
    lock.release()
    expect(existsSync(lockPath())).toBe(true)
  })
})

describe('a stale lock is broken', () => {
  const expectBroken = () => {
    const lock = lockFolder(folder)
    expect(readFileSync(lockPath(), 'utf8')).toBe(lockOf({}))
    expect(readdirSync(folder)).toEqual([lockFileName])
    lock.release()
  }

  it('when no process has its PID', async () => {
    const child = spawn(process.execPath, ['-e', ''])
    await new Promise((resolve) => child.on('exit', resolve))
    writeFileSync(lockPath(), lockOf({ pid: child.pid as number }))
    expectBroken()
  })

  it('when another process has its PID', () => {
    writeFileSync(lockPath(), lockOf({ started: '1' }))
    expectBroken()
  })

  it('when the machine was restarted', () => {
    writeFileSync(lockPath(), lockOf({ boot: 'another' }))
    expectBroken()
  })

  it('when it has no owner and is old', () => {
    writeFileSync(lockPath(), '')
    expect(() => lockFolder(folder)).toThrow(/a process that is just starting/)
    utimesSync(lockPath(), 1, 1)
    expectBroken()
  })
})

it('a lock of another machine is kept', () => {
  expect(holderOf({ text: lockOf({ host: 'elsewhere', pid: 7 }), seconds: 1e6 })).toBe('process 7 on elsewhere')
})

it('a lock that another process has replaced is restored', () => {
  const [abandoned, replacement] = [lockOf({ started: '1' }), lockOf({ pid: 1 })]
  writeFileSync(lockPath(), replacement)
  breakLock(lockPath(), { text: abandoned, seconds: 0 })
  expect(readFileSync(lockPath(), 'utf8')).toBe(replacement)
  breakLock(lockPath(), { text: replacement, seconds: 0 })
  expect(readdirSync(folder)).toEqual([])
})

it('exactly one of several processes acquires an abandoned lock', async () => {
  writeFileSync(lockPath(), lockOf({ started: '1' }))
  const program = `
    import { lockFolder } from ${JSON.stringify(new URL('../../src/platform/lock.ts', import.meta.url).href)}
    try { lockFolder(${JSON.stringify(folder)}); console.log('got it') } catch (error) { console.log(error.name) }
    process.stdin.resume()` // keeps the process alive until all have tried
  const children = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program]),
  )
  const results = await Promise.all(
    children.map((child) => new Promise<string>((resolve) => child.stdout.on('data', (text) => resolve(String(text))))),
  )
  for (const child of children) child.stdin.end()
  expect(results.map((text) => text.trim()).sort()).toEqual(['UserError', 'UserError', 'UserError', 'got it'])
})
