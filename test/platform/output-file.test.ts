import { spawn, spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { openOutputFile } from '../../src/platform/output-file.ts'
import { needs } from '../needs.ts'

const marker = 'made by this test'
const newFolder = () => mkdtempSync(join(tmpdir(), 'ltx-a2a-output-'))

function fileIn(folder: string, name: string, content: string) {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

describe('an output is never an input', () => {
  const folder = newFolder()
  const input = fileIn(folder, 'voice.wav', 'a recording')
  symlinkSync(input, join(folder, 'link.wav'))
  linkSync(input, join(folder, 'hard.wav'))
  symlinkSync(folder, join(folder, 'same'))

  it.each([
    ['under its own name', input, input],
    ['with another spelling', join(folder, '.', 'x', '..', 'voice.wav').replace('voice', './voice'), input],
    ['through a folder that does not exist', `${folder}/new/../voice.wav`, input],
    ['through two of them', `${folder}/new/deeper/../../same/voice.wav`, input],
    ['as a file: URL', pathToFileURL(input).href, input],
    ['as a relative path', relative('.', input), input],
    ['through a link to it', join(folder, 'link.wav'), input],
    ['through a link to its folder', join(folder, 'same', 'voice.wav'), input],
    ['as a hard link', join(folder, 'hard.wav'), input],
    ['when the input is a link', input, join(folder, 'link.wav')],
    ['when the input is a file: URL', input, pathToFileURL(input).href],
    ['in a folder that is read', input, folder],
  ])('%s, even with --force', (_, output, given) => {
    expect(() => openOutputFile(output, { inputs: [undefined, given], marker, force: true })).toThrow(
      'is an input of this command',
    )
    expect(readFileSync(input, 'utf8')).toBe('a recording')
  })

  it('but the result of an earlier run in a folder that is read is replaced', async () => {
    const page = fileIn(folder, 'page.html', `<html>${marker}`)
    await openOutputFile(page, { inputs: [folder], marker }).write(['new'])
    expect(readFileSync(page, 'utf8')).toBe('new')
  })
})

describe('an existing file', () => {
  it('that the command did not write is kept', () => {
    const path = fileIn(newFolder(), 'notes.txt', 'mine')
    expect(() => openOutputFile(path, { inputs: [], marker })).toThrow(
      `${path} exists already, and this command did not write it`,
    )
    expect(readFileSync(path, 'utf8')).toBe('mine')
  })

  it('that is empty is kept', () => {
    const path = fileIn(newFolder(), 'empty', '')
    expect(() => openOutputFile(path, { inputs: [], marker })).toThrow('exists already')
  })

  it('is replaced with --force', async () => {
    const path = fileIn(newFolder(), 'notes.txt', 'mine')
    await openOutputFile(path, { inputs: [], marker, force: true }).write(['new'])
    expect(readFileSync(path, 'utf8')).toBe('new')
  })

  it.each([
    ['at its beginning', `${marker}${'x'.repeat(200_000)}`],
    ['at its end', `${'x'.repeat(200_000)}${marker}`],
  ])('with the marker %s is replaced', async (_, content) => {
    const path = fileIn(newFolder(), 'earlier', content)
    await openOutputFile(path, { inputs: [], marker }).write(['new'])
    expect(readFileSync(path, 'utf8')).toBe('new')
  })

  it('is replaced only when the file that takes its place is complete', async () => {
    const folder = newFolder()
    const path = fileIn(folder, 'out', marker)
    const output = openOutputFile(path, { inputs: [], marker })
    const failure = output.fill(async (temporary) => {
      writeFileSync(temporary, 'half')
      throw new Error('broken')
    })
    await expect(failure).rejects.toThrow('broken')
    expect([readFileSync(path, 'utf8'), readdirSync(folder)]).toEqual([marker, ['out']])
    await output.fill(async (temporary) => {
      writeFileSync(temporary, 'whole')
      expect(readFileSync(path, 'utf8')).toBe(marker)
    })
    expect([readFileSync(path, 'utf8'), readdirSync(folder)]).toEqual(['whole', ['out']])
  })

  it('that appears while a file is produced is kept', async () => {
    const folder = newFolder()
    const path = join(folder, 'out')
    const output = openOutputFile(path, { inputs: [], marker })
    const taken = output.fill(async (temporary) => {
      writeFileSync(temporary, 'new')
      writeFileSync(path, 'of someone else')
    })
    await expect(taken).rejects.toThrow('exists already')
    expect([readFileSync(path, 'utf8'), readdirSync(folder)]).toEqual(['of someone else', ['out']])
  })

  it('that appears during the work is kept', async () => {
    const path = join(newFolder(), 'result.wav')
    const output = openOutputFile(path, { inputs: [], marker })
    writeFileSync(path, 'mine')
    await expect(output.write(['new'])).rejects.toThrow('exists already')
    expect(readFileSync(path, 'utf8')).toBe('mine')
  })

  it('behind a link is replaced, and the link stays', async () => {
    const folder = newFolder()
    const path = fileIn(folder, 'real.wav', marker)
    symlinkSync('real.wav', join(folder, 'link.wav'))
    await openOutputFile(join(folder, 'link.wav'), { inputs: [], marker }).write(['new'])
    expect(readlinkSync(join(folder, 'link.wav'))).toBe('real.wav')
    expect(readFileSync(path, 'utf8')).toBe('new')
  })
})

describe('a path that cannot be written is refused before the work', () => {
  const folder = newFolder()
  const file = fileIn(folder, 'file', 'x')
  mkdirSync(join(folder, 'sub'))
  symlinkSync('nowhere', join(folder, 'dangling'))

  it.each([
    ['an empty one', '', '--out is ""'],
    ['blanks', '  ', '--out is "  "'],
    ['a NUL character', 'a\0b', '--out is "a\\u0000b"'],
    ['a folder', join(folder, 'sub'), 'is a folder'],
    ['a folder that does not exist', `${join(folder, 'new')}/`, 'is a folder'],
    ['a descriptor that is not open', '/dev/fd/1234', '/dev/fd/1234 is not open'],
    ['a descriptor with an impossible number', '/dev/fd/99999999999999999999', 'is not open'],
    ['below a file', join(file, 'a', 'b.wav'), `${file} is a file`],
    ['a link to nothing', join(folder, 'dangling'), 'is a link to a place that does not exist'],
    ['below a link to nothing', join(folder, 'dangling', 'a.wav'), 'takes no files'],
  ])('%s', (_, path, message) => {
    expect(() => openOutputFile(path, { inputs: [], marker })).toThrow(message)
    expect(() => openOutputFile(path, { inputs: [], marker })).toThrow(expect.objectContaining({ name: 'UserError' }))
  })

  it.runIf(existsSync('/proc/self'))('where the system takes no files', () => {
    expect(() => openOutputFile('/proc/x.wav', { inputs: [], marker })).toThrow('/proc/x.wav cannot be written')
  })

  it.skipIf(process.getuid?.() === 0)('in a folder without permission', needs('a user who is not root'), () => {
    const closed = newFolder()
    chmodSync(closed, 0o500)
    expect(() => openOutputFile(join(closed, 'a.wav'), { inputs: [], marker })).toThrow('takes no files')
  })

  it('and nothing is left of the check', () => {
    const empty = newFolder()
    openOutputFile(join(empty, 'new', 'a.wav'), { inputs: [], marker })
    expect(readdirSync(empty)).toEqual([])
  })
})

describe.runIf(process.platform !== 'win32')('an output that is no regular file', () => {
  it('is written to: a device that is full reports it, and stays a device', async () => {
    await expect(openOutputFile('/dev/full', { inputs: [], marker }).write(['x'])).rejects.toThrow(
      'there is no room to write /dev/full',
    )
    await openOutputFile('/dev/null', { inputs: [], marker }).write(['x'])
    expect(spawnSync('test', ['-c', '/dev/full']).status).toBe(0)
    expect(spawnSync('test', ['-c', '/dev/null']).status).toBe(0)
  })

  it('is written to: a pipe, even if its reader comes late and reads slowly', async () => {
    const pipe = join(newFolder(), 'pipe')
    spawnSync('mkfifo', [pipe])
    const reader = spawn('sh', ['-c', `sleep 0.3; wc -c < '${pipe}'`])
    let counted = ''
    reader.stdout.on('data', (text) => {
      counted += text
    })
    await openOutputFile(pipe, { inputs: [], marker }).write([new Uint8Array(1_000_000), 'end'])
    await new Promise((resolve) => reader.on('close', resolve))
    expect(counted.trim()).toBe('1000003')
  })

  it('a pipe that nobody reads is given up when the command is stopped', async () => {
    const pipe = join(newFolder(), 'pipe')
    spawnSync('mkfifo', [pipe])
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 50)
    await expect(openOutputFile(pipe, { inputs: [], marker }).write(['x'], controller.signal)).rejects.toMatchObject({
      name: 'Interrupted',
    })
  })

  it('a descriptor of an input is refused, and one that cannot be written to is reported', async () => {
    const path = fileIn(newFolder(), 'voice.wav', 'a recording')
    const fd = openSync(path, 'r')
    expect(() => openOutputFile(`/dev/fd/${fd}`, { inputs: [path], marker })).toThrow('is an input of this command')
    await expect(openOutputFile(`/dev/fd/${fd}`, { inputs: [], marker }).write(['x'])).rejects.toMatchObject({
      name: 'UserError',
      message: `/dev/fd/${fd} cannot be written to`,
    })
    closeSync(fd)
    expect(readFileSync(path, 'utf8')).toBe('a recording')
  })

  it('-, /dev/stdout and /dev/fd/1 are standard output', () => {
    const module = new URL('../../src/platform/output-file.ts', import.meta.url).href
    const code = `const { openOutputFile } = await import(${JSON.stringify(module)})
      for (const path of ['-', '/dev/stdout', '/dev/fd/1']) {
        const file = openOutputFile(path, { inputs: [], marker: 'x' })
        await file.write(['a'.repeat(300000), String(file.isStdout)])
      }`
    const { stdout } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code])
    expect(stdout.toString()).toBe(`${'a'.repeat(300_000)}true`.repeat(3))
  })
})
