/** Connections through an HTTP proxy. */
import type { ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import { HttpsProxyAgent } from 'https-proxy-agent'
import { decodedText } from '../platform/text.ts'

type ConnectOptions = Parameters<HttpsProxyAgent<string>['connect']>[1]

/** An agent for HTTP and HTTPS through a proxy. While it waits for the proxy, the `stop` signal among the options of a request ends the connection. */
export class TunnelAgent extends HttpsProxyAgent<string> {
  constructor(proxy: URL, options: { keepAlive: boolean; ca?: string[] }) {
    // the base class decodes the login, and throws where a percent sign stands for itself
    const [username, password] = [proxy.username, proxy.password].map((text) => encodeURIComponent(decodedText(text)))
    super(Object.assign(new URL(proxy), { username, password }).href, options)
  }

  override async connect(request: ClientRequest, options: ConnectOptions & { stop?: AbortSignal }): Promise<Socket> {
    const { stop } = options
    const waiting = new AbortController()
    const end = () => waiting.abort()
    stop?.addEventListener('abort', end, { once: true })
    if (stop?.aborted) end()
    try {
      this.connectOpts = { ...this.connectOpts, signal: waiting.signal }
      return await super.connect(request, options) // it reads connectOpts before it waits
    } finally {
      stop?.removeEventListener('abort', end)
    }
  }
}
