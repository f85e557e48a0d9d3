/**
 * The process that started this one holds the other end of its stdin. When that closes, whatever the reason, this process gets a SIGTERM, and SIGKILL if it
 * has not ended by then. A thread watches, because the main one can be in a long computation.
 */
import { Worker } from 'node:worker_threads'

/** Less than the lease of a request: nothing may be written after another worker has it. */
const secondsToSave = 10

/** Stdin must be a pipe. */
export function stopWithStdin() {
  new Worker(watcher, { eval: true }).unref()
}

const watcher = `
  const { Socket } = require('node:net')
  const stdin = new Socket({ fd: 0, readable: true, writable: false })
  stdin.on('error', () => {})
  stdin.on('close', () => {
    process.kill(process.pid, 'SIGTERM')
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), ${1000 * secondsToSave})
  })
  stdin.resume()
`
