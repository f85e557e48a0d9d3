/**
 * Checks `ltx-a2a serve` with the official client for Python, which is installed from the package index into a temporary folder, and runs the example in
 * `docs/serve.md`: `npx tsx scripts/check-fal-client.ts`. Where it cannot be installed, that is said, and noted in the folder `TEST_REPORTS`. Needs a build.
 */
import { execFile } from 'node:child_process'
import { appendFileSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { projectPath } from '../test/cli/bin.ts'
import { exampleIn } from '../test/server/example.ts'
import { refusals } from '../test/server/refusals.ts'
import { startServed } from '../test/server/served.ts'

const run = promisify(execFile)

/** The version whose names the check and the example use. */
const clientPackage = 'fal_client>=1,<2'

const folder = mkdtempSync(join(tmpdir(), 'fal-client-'))
try {
  const python = await install()
  if (python !== undefined) await check(python)
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** @returns the Python that has the client, undefined where there is none. */
async function install(): Promise<string | undefined> {
  const python = join(folder, 'venv', 'bin', 'python')
  try {
    await run('python3', ['-m', 'venv', join(folder, 'venv')])
    await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', clientPackage])
    return python
  } catch (error) {
    const why = String((error as { stderr?: string }).stderr || error)
      .trim()
      .split('\n')
      .at(-1)
    const line = `Not run: scripts/check-fal-client.ts, because ${clientPackage} could not be installed: ${why}`
    console.log(line)
    const { TEST_REPORTS: reports } = process.env
    if (reports !== undefined) appendFileSync(join(reports, 'not-run.txt'), `${line}\n`)
    return undefined
  }
}

async function check(python: string) {
  const env = {
    ...process.env,
    LTX_A2A_BASE: projectPath('test/base'), // small, with random weights
    LTX_A2A_CACHE: join(folder, 'cache'),
    LTX_A2A_KEY: 'secret',
  }
  const server = await startServed(join(folder, 'data'), env)
  try {
    const cases = join(folder, 'refusals.json')
    writeFileSync(cases, JSON.stringify(refusals))
    const script = projectPath('scripts/fal-client/check.py')
    console.log((await run(python, [script, server.url, cases, projectPath('.')])).stdout.trimEnd())

    writeFileSync(join(folder, 'example.py'), exampleIn('python', server.url, 'secret'))
    copyFileSync(projectPath('fixtures/demo/pairs.zip'), join(folder, 'pairs.zip'))
    const { stdout } = await run(python, ['example.py'], { cwd: folder })
    const url = stdout.trimEnd().split('\n').at(-1) ?? ''
    if (!url.endsWith('/lora.safetensors')) throw new Error(`The example in docs/serve.md printed ${stdout}`)
    console.log('The example in docs/serve.md printed the URL of a LoRA')
  } finally {
    await server.stop()
  }
}
