import { describe, expect, it } from 'vitest'
import { compilerArguments, compilerCommand, findCompiler } from '../../src/setup/addon.ts'

const build = (home: string) => ({
  addon: '/data/tensorflow/tfjs-node',
  nodeHeaders: '/data/headers',
  tensorflow: { include: `${home}/include`, libraries: [`${home}/libtensorflow_cc.so.2`] },
  movedFolder: '/data/tensorflow',
})
const runPath = (args: readonly string[]) => args.find((arg) => arg.startsWith('-Wl,-rpath,'))

describe('the run path of the addon is', () => {
  it('the folder of TensorFlow, if that is outside the data folder', () => {
    const args = compilerArguments(build('/python/tensorflow'), 'linux')
    expect(runPath(args)).toBe('-Wl,-rpath,/python/tensorflow')
    expect(args).toContain('/python/tensorflow/libtensorflow_cc.so.2')
  })

  it('relative, if TensorFlow was unpacked in the data folder', () => {
    const unpacked = build('/data/tensorflow/libtensorflow')
    expect(runPath(compilerArguments(unpacked, 'linux'))).toBe('-Wl,-rpath,$ORIGIN/../libtensorflow')
    expect(runPath(compilerArguments(unpacked, 'darwin'))).toBe('-Wl,-rpath,@loader_path/../libtensorflow')
  })

  it('absolute for a folder whose name starts with that of the data folder', () => {
    expect(runPath(compilerArguments(build('/data/tensorflow-2'), 'linux'))).toBe('-Wl,-rpath,/data/tensorflow-2')
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
  ] as const)('%s', (_, platform, release, command) => expect(compilerCommand(platform, release)).toBe(command))
})

it('a CXX that does not run is an error', async () => {
  await expect(findCompiler({ CXX: '/nowhere/c++' })).rejects.toThrow('CXX is /nowhere/c++, which does not run')
})
