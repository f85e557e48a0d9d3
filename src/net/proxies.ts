/** The proxies that the environment names. */
import { UserError } from '../platform/errors.ts'
import { maskedUrl } from '../platform/text.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * The proxy for a URL; undefined where there is none, or NO_PROXY excludes the URL. Without a scheme, a proxy is an HTTP proxy.
 * @param fallback the proxy where the environment names none, as pip's settings have it.
 * @throws UserError when the setting does not hold the URL of an HTTP or HTTPS proxy.
 */
export function proxyFor({ protocol, hostname, port }: URL, env: Environment, fallback?: string): URL | undefined {
  const name = protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  const [from, text = ''] =
    [name.toLowerCase(), name].map((name) => [name, env[name]] as const).find(([, text]) => text?.trim()) ??
    (['the proxy of pip', fallback] as const)
  if (text.trim() === '') return undefined
  const excluded = (env.no_proxy || env.NO_PROXY || '').split(/[\s,]+/).filter(Boolean)
  if (excluded.some((entry) => covers(entry, hostname, port))) return undefined
  const proxy = text.trim().replace(/^(?![a-z][a-z\d+.-]*:\/\/)/i, 'http://')
  if (URL.canParse(proxy) && /^https?:/i.test(proxy)) return new URL(proxy)
  throw new UserError(`${from} is not the URL of a proxy: ${maskedUrl(text)}`, { hint: 'write it as http://host:port' })
}

/** `*`, `host`, `.domain` or `*.domain`, each with or without `:port`. A domain includes its subdomains. */
function covers(entry: string, hostname: string, port: string): boolean {
  if (entry === '*') return true
  const [, domain = '', only] = /^(?:\*?\.)?(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? []
  return (hostname === domain || hostname.endsWith(`.${domain}`)) && (only === undefined || only === port)
}
