/**
 * Where URLs that come from outside may lead: to servers on the public internet, not into the network of this machine. Addresses are checked where a
 * connection is made, so that a name cannot change its address between the check and the connection. This holds for every redirect, too.
 */
import { lookup as resolveName } from 'node:dns'
import { BlockList, isIP, isIPv4, type LookupFunction } from 'node:net'
import { UserError } from '../platform/errors.ts'
import { maskedUrl } from '../platform/text.ts'

export type Guard = {
  isAllowed(address: string): boolean
  /** Resolves names. */
  lookup: LookupFunction
}

/** The guard of a server; undefined where its clients may name private addresses. */
export const guardFor = ({ allowPrivate }: { allowPrivate: boolean }): Guard | undefined =>
  allowPrivate ? undefined : { isAllowed: isPublicAddress, lookup: resolveName }

/**
 * A URL that a client of a server gave. Names are not resolved: a connection does that, and checks the addresses.
 * @throws UserError when it is not an http(s) URL, has a login, or has an address that is not allowed.
 */
export function clientUrl(text: string, guard: Guard | undefined): URL {
  if (!URL.canParse(text)) throw new UserError(`${maskedUrl(text)} is not a URL`, { hint: 'write it as https://…' })
  const url = new URL(text)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new UserError(`${url.protocol} URLs are not supported: ${maskedUrl(text)}`, { hint: 'give an http(s) URL' })
  if (url.username !== '' || url.password !== '')
    throw new UserError(`${maskedUrl(text)} contains a login`, { hint: 'give a URL that opens without a login' })
  if (guard) requireAllowedLiteral(guard, url)
  return url
}

/** Resolves a name as the guard does, and fails with a UserError when one of its addresses is not allowed. */
export function guardedLookup({ lookup, isAllowed }: Guard): LookupFunction {
  return (hostname, options, callback) =>
    lookup(hostname, options, (error, found, family) => {
      const addresses = Array.isArray(found) ? found.map(({ address }) => address) : [found]
      if (error || addresses.every(isAllowed)) callback(error, found, family)
      else callback(refusal(hostname), [])
    })
}

/** Connections to addresses do not resolve anything, so that these are checked here. @throws UserError when the host is an address that is not allowed. */
export function requireAllowedLiteral({ isAllowed }: Guard, url: URL) {
  const host = hostOf(url)
  if (isIP(host) !== 0 && !isAllowed(host)) throw refusal(host)
}

/**
 * What can be checked of a connection that a proxy makes: a proxy resolves names itself, and has to refuse those that it must not reach. A name that has
 * an address here is checked. One that has none is not refused, because in networks with a proxy often only the proxy can resolve public names.
 * @throws UserError when the name has an address that is not allowed.
 */
export async function requireAllowedName(guard: Guard, url: URL, signal: AbortSignal): Promise<void> {
  const host = hostOf(url)
  if (isIP(host) !== 0) return
  await new Promise<void>((resolve, reject) => {
    const stop = () => resolve() // the request fails because of the signal
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    guardedLookup(guard)(host, { all: true }, (error) => {
      signal.removeEventListener('abort', stop)
      if (error instanceof UserError) reject(error)
      else resolve()
    })
  })
}

/** The parser of URLs has turned the other notations of addresses (decimal, octal, hexadecimal) into the usual one. */
const hostOf = ({ hostname }: URL) => hostname.replace(/^\[|\]$/g, '')

/** The address is not named, so that clients do not learn the addresses behind internal names. */
const refusal = (host: string) =>
  new UserError(`${host} is not on the public internet, and may not be reached`, {
    hint: 'if all clients of the server may reach its network, start it with --allow-private-urls',
  })

/** The special ranges of IPv4: RFC 6890 and IANA's registry, multicast, reserved. */
const specialIPv4 = [
  ['0.0.0.0', 8], // this network
  ['10.0.0.0', 8], // private
  ['100.64.0.0', 10], // behind a provider's address translation
  ['127.0.0.0', 8], // this machine
  ['168.63.129.16', 32], // the host of a virtual machine on Azure
  ['169.254.0.0', 16], // link-local, with the metadata of cloud machines
  ['172.16.0.0', 12], // private
  ['192.0.0.0', 24], // protocol assignments
  ['192.0.2.0', 24], // documentation
  ['192.88.99.0', 24], // 6to4 relays
  ['192.168.0.0', 16], // private
  ['198.18.0.0', 15], // benchmarks
  ['198.51.100.0', 24], // documentation
  ['203.0.113.0', 24], // documentation
  ['224.0.0.0', 4], // multicast
  ['240.0.0.0', 4], // reserved, broadcast
] as const

/** The special ranges within `unicastIPv6`. */
const specialIPv6 = [
  ['2001::', 23], // protocol assignments, Teredo
  ['2001:db8::', 32], // documentation
  ['2002::', 16], // 6to4, which contains IPv4 addresses and is no longer in use
  ['3fff::', 20], // documentation
] as const

/** Where NAT64 translates to IPv4: the last 32 bits are the address. */
const nat64 = '64:ff9b::'

const special = new BlockList()
for (const [network, prefix] of specialIPv4) {
  special.addSubnet(network, prefix, 'ipv4')
  special.addSubnet(nat64 + network, 96 + prefix, 'ipv6')
}
for (const [network, prefix] of specialIPv6) special.addSubnet(network, prefix, 'ipv6')

/** All IPv6 addresses outside are special: loopback, link-local, unique-local, multicast, IPv4-mapped and others. */
const unicastIPv6 = new BlockList()
unicastIPv6.addSubnet('2000::', 3, 'ipv6')
unicastIPv6.addSubnet(nat64, 96, 'ipv6')

/** Whether an address is one of the public internet. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !special.check(address, 'ipv4')
  return isIP(address) === 6 && unicastIPv6.check(address, 'ipv6') && !special.check(address, 'ipv6')
}
