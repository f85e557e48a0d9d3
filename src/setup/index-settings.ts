/** The package indexes that this machine uses, by the rules of pip and uv: their environment variables, and pip's configuration files. */
import { readFileSync } from 'node:fs'
import { devNull } from 'node:os'
import { join } from 'node:path'
import { UserError } from '../platform/errors.ts'
import { maskedUrl } from '../platform/text.ts'
import { homeFolder } from '../platform/user-folders.ts'
import { loginFor } from './netrc.ts'

export type IndexSettings = {
  /** The URLs of the indexes, with logins, each with a slash at the end of its path. The main index comes first. */
  indexes: URL[]
  /** The proxy of pip's configuration. Those of the environment win. */
  proxy?: string
  /** The path of certificates to trust besides the usual ones. */
  certificates?: string
}

export type SettingsEnv = {
  env: NodeJS.ProcessEnv
  platform: NodeJS.Platform
  home: string
  /** Undefined for a file that does not exist. @throws UserError for one that cannot be read. */
  read(path: string): string | undefined
}

const thisMachine = (): SettingsEnv => ({
  env: process.env,
  platform: process.platform,
  home: homeFolder(),
  read: readIfThere,
})

/** @throws UserError for what is there and cannot be read. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').replace(/^\ufeff/, '') // some editors write a byte order mark
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new UserError(`${path} ${code === 'EISDIR' ? 'is a folder, not a file of settings' : 'cannot be read'}`, {
      hint: 'check the path and the permissions, and the variables PIP_CONFIG_FILE and NETRC',
      cause,
    })
  }
}

const publicIndex = 'https://pypi.org/simple/'

/**
 * The main index is that of pip if one is configured, otherwise that of uv, otherwise PyPI. Further indexes of both are added.
 * @throws UserError when an index is not on the web, or pip may not use any.
 */
export function indexSettings(settingsEnv: SettingsEnv = thisMachine()): IndexSettings {
  const { env } = settingsEnv
  const option = pipOptions(settingsEnv)
  if (/^(1|y|yes|t|true|on)$/i.test(option('no-index') ?? ''))
    throw new UserError('pip is configured to use no package index (no-index)', {
      hint: 'give --from a folder, a .tar.gz or a .whl of TensorFlow',
    })
  const main = option('index-url') || env.UV_DEFAULT_INDEX?.trim() || env.UV_INDEX_URL?.trim() || publicIndex
  const further = [option('extra-index-url'), env.UV_INDEX, env.UV_EXTRA_INDEX_URL]
  const urls = [main, ...further.flatMap((list) => list?.split(/\s+/) ?? [])].filter(Boolean).map(indexUrl)
  const indexes = urls.map((url) => withLogin(url, settingsEnv))
  const [proxy, certificates] = [option('proxy'), option('cert') || env.REQUESTS_CA_BUNDLE?.trim()]
  return { indexes: uniqueUrls(indexes), ...(proxy && { proxy }), ...(certificates && { certificates }) }
}

const uniqueUrls = (urls: readonly URL[]) => [...new Map(urls.map((url) => [url.href, url])).values()]

/** uv writes an index also as `name=url`. */
function indexUrl(text: string): URL {
  const url = text.replace(/^[\w.-]+=(?=\w+:)/, '')
  if (!URL.canParse(url) || !/^https?:/i.test(url))
    throw new UserError(`the package index ${maskedUrl(url)} is not at an http(s) URL`, {
      hint: 'correct the settings of pip (pip config list), or give --from a folder, a .tar.gz or a .whl of TensorFlow',
    })
  const index = new URL(url)
  return Object.assign(index, { pathname: index.pathname.replace(/\/*$/, '/'), hash: '' })
}

function withLogin(url: URL, { env, home, read }: SettingsEnv): URL {
  if (url.username !== '') return url
  const path = env.NETRC || join(home, '.netrc')
  const login = loginFor(url.hostname, read(path) ?? '')
  if (!login) return url
  const { username, password } = login
  return Object.assign(new URL(url), {
    username: encodeURIComponent(username),
    password: encodeURIComponent(password),
  })
}

/** Looks up an option of `pip install`: in its variable, then in the section `install`, then in `global`. */
function pipOptions(settingsEnv: SettingsEnv): (name: string) => string | undefined {
  const files = configFiles(settingsEnv).flatMap((path) => settingsEnv.read(path) ?? [])
  const values = new Map(files.flatMap((text) => [...parseConfig(text)]))
  return (name) =>
    settingsEnv.env[`PIP_${name.toUpperCase().replaceAll('-', '_')}`]?.trim() ||
    values.get(`install.${name}`) ||
    values.get(`global.${name}`)
}

/** pip's configuration files, those that win last: of the system, the user, the virtual environment, and the one in `PIP_CONFIG_FILE`. */
function configFiles({ env, platform, home, read }: SettingsEnv): string[] {
  const chosen = env.PIP_CONFIG_FILE
  if (chosen === devNull) return []
  const isMac = platform === 'darwin'
  const systemFolders = (env.XDG_CONFIG_DIRS || '/etc/xdg').split(':').map((folder) => join(folder, 'pip'))
  const system = isMac ? ['/Library/Application Support/pip'] : [...systemFolders, '/etc']
  const user = [join(home, '.pip'), join(env.XDG_CONFIG_HOME || join(home, '.config'), 'pip')]
  if (isMac) user.push(join(home, 'Library', 'Application Support', 'pip'))
  const environment = env.VIRTUAL_ENV || env.CONDA_PREFIX
  const isUserSkipped = chosen && read(chosen) !== undefined
  const folders = [...system, ...(isUserSkipped || !home ? [] : user), ...(environment ? [environment] : [])]
  return [...folders.map((folder) => join(folder, 'pip.conf')), ...(chosen ? [chosen] : [])]
}

/** The options of a configuration file as `section.name`. An indented line continues the value before it. */
export function parseConfig(text: string): Map<string, string> {
  const values = new Map<string, string>()
  let [section, option] = ['', '']
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*([#;]|$)/.test(line)) continue
    const [, name] = /^\[(.+)\]\s*$/.exec(line) ?? []
    const [, key, value = ''] = /^([^\s=:][^=:]*?)\s*[=:]\s*(.*?)\s*$/.exec(line) ?? []
    if (/^\s/.test(line)) values.set(option, `${values.get(option) ?? ''} ${line.trim()}`.trim())
    else if (name !== undefined) section = name.toLowerCase()
    else if (key !== undefined) {
      option = `${section}.${key.toLowerCase().replaceAll('_', '-')}`
      values.set(option, value)
    }
  }
  return values
}
