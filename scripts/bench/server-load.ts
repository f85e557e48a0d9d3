/** The clients of `bench server`, in a process of their own: `server-load.ts <options as JSON>`. Prints what they saw as JSON. */
import { Agent, type IncomingMessage, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export type LoadOptions = {
  url: string
  statusPath: string
  pollers: number
  /** Milliseconds between an answer and the next poll. */
  pollInterval: number
  uploads: number
  uploadBytes: number
  seconds: number
}

export type LoadResult = {
  statusMilliseconds: number[]
  uploadMilliseconds: number[]
  errors: string[]
  /** Of this process; near 1 it measures itself. */
  cpuShare: number
}

const options: LoadOptions = JSON.parse(process.argv[2] ?? '{}')
const { url, statusPath, pollers, pollInterval, uploads, uploadBytes, seconds } = options
const result: LoadResult = { statusMilliseconds: [], uploadMilliseconds: [], errors: [], cpuShare: 0 }
const agent = new Agent({ keepAlive: true, maxSockets: pollers + uploads })
const started = performance.now()
const end = started + 1000 * seconds
const cpuBefore = process.cpuUsage()
await Promise.all([...times(pollers, poll), ...times(uploads, upload)])
agent.destroy()
const { user, system } = process.cpuUsage(cpuBefore)
result.cpuShare = (user + system) / 1000 / (performance.now() - started)
process.stdout.write(JSON.stringify(result))

/** Clients do not begin at the same moment: each starts at its share of the interval. */
async function poll(index: number) {
  await sleep((pollInterval * index) / pollers)
  while (performance.now() < end) {
    await timed(result.statusMilliseconds, async () => {
      const { status, text } = await send('GET', statusPath)
      if (status !== 202 || JSON.parse(text).status !== 'IN_PROGRESS') throw new Error(`status: ${status} ${text}`)
    })
    await sleep(pollInterval)
  }
}

/** One upload for each client, spread over the time. */
async function upload(index: number) {
  await sleep((1000 * seconds * index) / uploads)
  await timed(result.uploadMilliseconds, async () => {
    const headers = { 'x-fal-file-name': `load-${index}.zip`, 'content-length': uploadBytes }
    const { status, text } = await send('POST', '/files/upload', headers, Buffer.alloc(uploadBytes, index))
    if (status !== 200) throw new Error(`upload: ${status} ${text}`)
  })
}

async function timed(durations: number[], work: () => Promise<void>) {
  const before = performance.now()
  await work().then(
    () => durations.push(performance.now() - before),
    (error: Error) => result.errors.push(error.message),
  )
}

function send(method: string, path: string, headers = {}, body?: Buffer) {
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const sent = request(new URL(path, url), { method, headers, agent }, async (response: IncomingMessage) => {
      try {
        let text = ''
        for await (const chunk of response) text += chunk
        resolve({ status: response.statusCode ?? 0, text })
      } catch (error) {
        reject(error)
      }
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

function times(count: number, work: (index: number) => Promise<void>) {
  return Array.from({ length: count }, (_, index) => work(index))
}
