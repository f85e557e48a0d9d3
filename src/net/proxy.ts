/** Node's own fetch ignores HTTPS_PROXY and its relatives; undici's can go through a proxy. */
import { UserError } from '../platform/errors.ts'
import type { Environment } from './place.ts'

/** A fetch that goes through the proxies that the environment names. Where it names none, Node's own. */
export async function fetchThroughProxies(env: Environment): Promise<typeof fetch> {
  if (!given(env, 'HTTP_PROXY') && !given(env, 'HTTPS_PROXY')) return fetch
  const undici = await import('undici')
  const agents = new Map<string, InstanceType<typeof undici.ProxyAgent>>()
  const agentFor = (proxy: string) => {
    const agent = agents.get(proxy) ?? new undici.ProxyAgent(proxy)
    agents.set(proxy, agent)
    return agent
  }
  const proxied = (url: URL, init: object = {}) => {
    const proxy = proxyFor(url, env)
    return undici.fetch(url, { ...init, ...(proxy !== undefined && { dispatcher: agentFor(proxy) }) })
  }
  return proxied as unknown as typeof fetch // the same interface, declared twice
}

/**
 * The proxy for a URL; undefined where NO_PROXY excludes it.
 * @throws UserError when the proxy is no URL.
 */
export function proxyFor({ protocol, hostname, port }: URL, env: Environment): string | undefined {
  const name = protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY'
  const proxy = given(env, name)
  if (!proxy) return undefined
  const excluded = (given(env, 'NO_PROXY') ?? '').split(/[\s,]+/).filter(Boolean)
  if (excluded.some((entry) => covers(entry, hostname, port))) return undefined
  if (URL.canParse(proxy) && /^https?:/.test(proxy)) return proxy
  throw new UserError(`${name} is not the URL of a proxy: ${proxy}`, { hint: 'write it as http://host:port' })
}

/** `*`, `host`, `.domain`, `*.domain`, each with `:port` or without; a domain covers what lies in it. */
function covers(entry: string, hostname: string, port: string): boolean {
  if (entry === '*') return true
  const [, domain = '', only] = /^(?:\*?\.)?(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? []
  return (hostname === domain || hostname.endsWith(`.${domain}`)) && (only === undefined || only === port)
}

/** Lower case first, as other tools do. */
const given = (env: Environment, name: string) => env[name.toLowerCase()] || env[name]
