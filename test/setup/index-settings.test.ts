import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { indexSettings, parseConfig } from '../../src/setup/index-settings.ts'
import { loginFor } from '../../src/setup/netrc.ts'
import { inFolder } from '../cli/bin.ts'

/** The settings of a user with the home folder /home/u. */
const settings = (env: NodeJS.ProcessEnv, files: Record<string, string> = {}, platform: NodeJS.Platform = 'linux') =>
  indexSettings({ env, platform, home: '/home/u', read: (path) => files[path] })
const urls = (...args: Parameters<typeof settings>) => settings(...args).indexes.map(({ href }) => href)
const conf = (url: string) => `[global]\nindex-url = ${url}\n`

describe('the package index is', () => {
  it('PyPI without any settings', () => expect(urls({})).toEqual(['https://pypi.org/simple/']))

  it('that of PIP_INDEX_URL, which wins over files and over uv', () =>
    expect(
      urls(
        { PIP_INDEX_URL: 'https://pip.test/simple', UV_INDEX_URL: 'https://uv.test/simple' },
        { '/etc/pip.conf': conf('https://etc.test') },
      ),
    ).toEqual(['https://pip.test/simple/']))

  it.each<[where: string, paths: string[], env: NodeJS.ProcessEnv, platform?: NodeJS.Platform]>([
    ['the system', ['/etc/pip.conf', '/etc/xdg/pip/pip.conf'], {}],
    ['the user', ['/home/u/.config/pip/pip.conf', '/home/u/.pip/pip.conf', '/etc/pip.conf'], {}],
    ['the folder of XDG_CONFIG_HOME', ['/x/pip/pip.conf', '/home/u/.pip/pip.conf'], { XDG_CONFIG_HOME: '/x' }],
    ['the virtual environment', ['/venv/pip.conf', '/home/u/.config/pip/pip.conf'], { VIRTUAL_ENV: '/venv' }],
    ['PIP_CONFIG_FILE', ['/own.conf', '/venv/pip.conf'], { PIP_CONFIG_FILE: '/own.conf', VIRTUAL_ENV: '/venv' }],
    [
      'the user on macOS',
      ['/home/u/Library/Application Support/pip/pip.conf', '/Library/Application Support/pip/pip.conf'],
      {},
      'darwin',
    ],
  ])('that of the file of %s, which wins over the next ones', (_, paths, env, platform) => {
    const files = Object.fromEntries(paths.map((path, i) => [path, conf(`https://${i}.test/simple`)]))
    expect(urls(env, files, platform)).toEqual(['https://0.test/simple/'])
  })

  it('not that of the user where PIP_CONFIG_FILE names a file, as with pip', () =>
    expect(
      urls({ PIP_CONFIG_FILE: '/own.conf' }, { '/own.conf': '', '/home/u/.pip/pip.conf': conf('https://user.test') }),
    ).toEqual(['https://pypi.org/simple/']))

  it('PyPI where PIP_CONFIG_FILE is /dev/null', () =>
    expect(urls({ PIP_CONFIG_FILE: '/dev/null' }, { '/etc/pip.conf': conf('https://etc.test') })).toEqual([
      'https://pypi.org/simple/',
    ]))

  it('that of the section install before that of global', () =>
    expect(
      urls(
        {},
        { '/etc/pip.conf': '[install]\nindex_url: https://install.test/\n[global]\nindex-url = https://all.test' },
      ),
    ).toEqual(['https://install.test/']))

  it.each(['UV_INDEX_URL', 'UV_DEFAULT_INDEX'])('that of %s where pip has none', (name) =>
    expect(urls({ [name]: 'https://uv.test/simple' })).toEqual(['https://uv.test/simple/']),
  )

  it.each([
    [' https://pip.test/simple \n', 'https://pip.test/simple/'],
    ['https://pip.test/simple//?token=a/b&c#part', 'https://pip.test/simple/?token=a/b&c'],
    ['https://us%er:p%ss@pip.test/simple', 'https://us%er:p%ss@pip.test/simple/'],
    ['HTTPS://pip.test', 'https://pip.test/'],
  ])('that of %j as %s', (text, url) => {
    expect(urls({ PIP_INDEX_URL: text })).toEqual([url])
    expect(urls({ UV_INDEX_URL: text })).toEqual([url])
  })

  it('followed by further ones, each once', () => {
    const files = {
      '/etc/pip.conf':
        '[global]\nextra-index-url =\n    https://one.test/simple\n    # a comment\n    https://two.test/simple/\n',
    }
    expect(urls({ UV_INDEX: 'own=https://three.test/simple https://one.test/simple/' }, files)).toEqual([
      'https://pypi.org/simple/',
      'https://one.test/simple/',
      'https://two.test/simple/',
      'https://three.test/simple/',
    ])
  })
})

describe('an index with a login', () => {
  const netrc = 'machine other.test login x password y\nmachine pip.test\n  login me password p@ss%\n'

  it('keeps that of its URL', () =>
    expect(urls({ PIP_INDEX_URL: 'https://a:b@pip.test/simple' }, { '/home/u/.netrc': netrc })).toEqual([
      'https://a:b@pip.test/simple/',
    ]))

  it('takes that of ~/.netrc, or of the file in NETRC', () => {
    const expected = ['https://me:p%40ss%25@pip.test/simple/']
    const env = { PIP_INDEX_URL: 'https://pip.test/simple' }
    expect(urls(env, { '/home/u/.netrc': netrc })).toEqual(expected)
    expect(urls({ ...env, NETRC: '/n' }, { '/n': netrc })).toEqual(expected)
  })

  it.each([
    ['machine pip.test login me password secret', { username: 'me', password: 'secret' }],
    ['default login any password thing', { username: 'any', password: 'thing' }],
    ['# machine pip.test login me', undefined],
    ['machine far.test login me password secret', undefined],
  ])('of the .netrc "%s" is %o', (text, login) => expect(loginFor('pip.test', text)).toEqual(login))
})

it('the proxy and the certificates of pip are found', () => {
  const files = { '/etc/pip.conf': '[global]\nproxy = http://proxy:3128\ncert = /etc/ca.pem\n' }
  expect(settings({}, files)).toMatchObject({ proxy: 'http://proxy:3128', certificates: '/etc/ca.pem' })
  expect(settings({ PIP_CERT: '/own.pem' }, files).certificates).toBe('/own.pem')
})

it.each<[env: NodeJS.ProcessEnv, message: string]>([
  ...['1', 'y', 'Yes', 't', 'TRUE', 'on', ' 1 '].map((PIP_NO_INDEX): [NodeJS.ProcessEnv, string] => [
    { PIP_NO_INDEX },
    'pip is configured to use no package index',
  ]),
  [{ PIP_INDEX_URL: 'file:///srv/index' }, 'the package index file:///srv/index is not at an http(s) URL'],
  [{ UV_INDEX_URL: 'ftp://me:secret@host/' }, 'the package index ftp://…@host/ is not at an http(s) URL'],
  [{ PIP_INDEX_URL: 'http://me:pa/ss@host/x' }, 'the package index http://…@host/x is not at an http(s) URL'],
  [{ PIP_INDEX_URL: 'file://me:se@cret@host/' }, 'the package index file://…@host/ is not at an http(s) URL'],
  [{ PIP_EXTRA_INDEX_URL: 'me:secret@host' }, 'the package index …@host is not at an http(s) URL'],
])('%o is refused, without the login', (env, message) => expect(() => settings(env)).toThrow(message))

it.each(['0', 'no', 'f', 'off'])('PIP_NO_INDEX=%s allows an index', (PIP_NO_INDEX) =>
  expect(urls({ PIP_NO_INDEX })).toEqual(['https://pypi.org/simple/']),
)

describe('on this machine', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-index-'))
  const settingsHere = (env: Record<string, string>) =>
    inFolder({ env: { HOME: folder, PIP_CONFIG_FILE: '/dev/null', ...env } }, async () => indexSettings())

  it('files may have a byte order mark', async () => {
    const [PIP_CONFIG_FILE, NETRC] = [join(folder, 'bom.conf'), join(folder, 'bom.netrc')]
    writeFileSync(PIP_CONFIG_FILE, `\ufeff${conf('https://bom.test/simple')}`)
    writeFileSync(NETRC, '\ufeffmachine bom.test login me password secret')
    const { indexes } = await settingsHere({ PIP_CONFIG_FILE, NETRC })
    expect(indexes.map(({ href }) => href)).toEqual(['https://me:secret@bom.test/simple/'])
  })

  it('files that do not exist are ignored', async () => {
    const [PIP_CONFIG_FILE, NETRC] = [join(folder, 'gone.conf'), join(folder, 'gone.netrc')]
    expect((await settingsHere({ PIP_CONFIG_FILE, NETRC })).indexes).toHaveLength(1)
  })

  it.each(['PIP_CONFIG_FILE', 'NETRC'])('a folder in %s is an error with its path', async (name) =>
    expect(settingsHere({ [name]: folder })).rejects.toMatchObject({
      name: 'UserError',
      message: `${folder} is a folder, not a file of settings`,
      hint: expect.stringContaining(name),
    }),
  )
})

it('a configuration file is read as pip reads it', () => {
  const text =
    '; comment\n[global]\nIndex_URL = https://a.test/?a=b ; kept\r\nempty =\nlist:\n  one\n\n  two\n[list]\nx = y\n'
  expect(Object.fromEntries(parseConfig(text))).toEqual({
    'global.index-url': 'https://a.test/?a=b ; kept',
    'global.empty': '',
    'global.list': 'one two',
    'list.x': 'y',
  })
})
