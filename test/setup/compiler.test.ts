import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { buildAddon, compilerArguments, compilerCommand, findCompiler } from '../../src/setup/addon.ts'

const build = (home: string) => ({
  addon: '/data/tensorflow/tfjs-node',
  nodeHeaders: '/data/headers',
  tensorflow: { include: `${home}/include`, libraries: [`${home}/libtensorflow_cc.so.2`] },
  movedFolder: '/data/tensorflow',
})
/** The run path that the linker is given. */
const runPath = (args: readonly string[]) => args[args.indexOf('-rpath') + 2]

describe('the run path of the addon is', () => {
  it('the folder of TensorFlow, if that is outside the data folder', () => {
    const args = compilerArguments(build('/python/tensorflow'), 'linux')
    expect(runPath(args)).toBe('/python/tensorflow')
    expect(args).toContain('/python/tensorflow/libtensorflow_cc.so.2')
  })

  it('relative, if TensorFlow was unpacked in the data folder', () => {
    const unpacked = build('/data/tensorflow/libtensorflow')
    expect(runPath(compilerArguments(unpacked, 'linux'))).toBe('$ORIGIN/../libtensorflow')
    expect(runPath(compilerArguments(unpacked, 'darwin'))).toBe('@loader_path/../libtensorflow')
  })

  it('whole, if it has a comma', () =>
    expect(compilerArguments(build('/a, b'), 'linux').slice(-6, -2)).toEqual([
      '-Xlinker',
      '-rpath',
      '-Xlinker',
      '/a, b',
    ]))

  it('absolute for a folder whose name starts with that of the data folder', () => {
    expect(runPath(compilerArguments(build('/data/tensorflow-2'), 'linux'))).toBe('/data/tensorflow-2')
  })
})

describe('the command to install a missing compiler is correct for', () => {
  it.each([
    ['Debian', 'linux', 'ID=debian\n', 'apt install g++'],
    ['Ubuntu', 'linux', 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n', 'apt install g++'],
    ['Rocky Linux', 'linux', 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', 'dnf install gcc-c++'],
    ['openSUSE', 'linux', 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', 'zypper install gcc-c++'],
    ['macOS', 'darwin', '', 'xcode-select --install'],
    ['an unknown system, as a package name', 'linux', 'ID=nixos\n', 'the package g++'],
  ] as const)('%s', (_, platform, release, command) => {
    expect(compilerCommand(platform, release, true)).toBe(command)
    const isProgram = !/^(the|xcode)/.test(command)
    expect(compilerCommand(platform, release, false)).toBe(isProgram ? `sudo ${command}` : command)
  })
})

it('a CXX that does not run is an error', async () => {
  await expect(findCompiler({ CXX: '/nowhere/c++' })).rejects.toThrow('CXX is /nowhere/c++, which does not run')
})

it.each([
  [
    "g++: fatal error: cannot execute 'as': posix_spawnp: No such file or directory",
    'parts of the compiler are missing',
  ],
  ["collect2: fatal error: cannot find 'ld'", 'parts of the compiler are missing'],
  ['/usr/include/x.h:33:10: fatal error: bits/libc-header-start.h: No such file or directory', 'parts of the compiler'],
  ['a.cc:1:10: fatal error: tensorflow/c/c_api.h: No such file or directory', 'use another TensorFlow (--from)'],
  ["error: unrecognized command-line option '-std=c++17'", 'a compiler that supports C++17'],
])('a compiler that prints "%s" is not told something else', async (output, hint) => {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-compiler-'))
  const compiler = join(folder, 'c++')
  writeFileSync(join(folder, 'output'), output)
  writeFileSync(compiler, `#!/bin/sh\ncat ${join(folder, 'output')} >&2\nexit 1\n`, { mode: 0o755 })
  await expect(buildAddon(compiler, { ...build('/python'), addon: folder })).rejects.toMatchObject({
    name: 'UserError',
    hint: expect.stringContaining(hint),
  })
})
