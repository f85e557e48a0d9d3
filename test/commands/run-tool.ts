/** The built tool as a person runs it: no terminal, its own cache. */
import { execFile, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../../bin/ltx-a2a.js', import.meta.url))

export type Outcome = { code: number | null; stdout: string; stderr: string }

export type Tool = {
  run(...args: string[]): Promise<Outcome>
  /** Sends a signal as soon as stderr says `word`. */
  interruptAt(word: string, signal: NodeJS.Signals, ...args: string[]): Promise<Outcome>
}

export function toolIn(folder: string, cache: string): Tool {
  const options = { cwd: folder, env: { ...process.env, LTX_A2A_CACHE: cache, FORCE_COLOR: undefined } }
  return {
    run: (...args) =>
      new Promise((resolve) => {
        execFile(process.execPath, [bin, ...args], options, (error, stdout, stderr) => {
          resolve({ code: error ? (error.code as number) : 0, stdout, stderr })
        })
      }),
    interruptAt: (word, signal, ...args) =>
      new Promise((resolve) => {
        const child = spawn(process.execPath, [bin, ...args], options)
        let [stdout, stderr, sent] = ['', '', false]
        child.stdout.on('data', (text) => {
          stdout += text
        })
        child.stderr.on('data', (text) => {
          stderr += text
          if (sent || !stderr.includes(word)) return
          sent = true
          child.kill(signal)
        })
        child.on('close', (code) => resolve({ code, stdout, stderr }))
      }),
  }
}
