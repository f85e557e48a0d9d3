/**
 * What only a machine with a graphics card can show: `npm run check:gpu`. It runs the doctor, the reference values and the gradients, measures training
 * steps and memory, and compares resumed runs with uninterrupted ones. The results go to docs/gpu.md. `--without-card` tries the script on a processor.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runProgram } from '../src/machine/programs.ts'
import { sum } from '../src/platform/statistics.ts'
import type { DoctorReport } from '../src/setup/doctor.ts'
import { measureSteps } from './gpu/benches.ts'
import { type GpuCheck, gpuPage, isGood } from './gpu/page.ts'
import { runTests } from './gpu/tests.ts'
import { killTest } from './reliability/kills.ts'

const { values } = parseArgs({
  options: {
    blocks: { type: 'string', default: '4,48' },
    kills: { type: 'string', default: '10' },
    out: { type: 'string', default: 'docs/gpu.md' },
    'without-card': { type: 'boolean', default: false },
  },
})
const bin = fileURLToPath(new URL('../bin/ltx-a2a.js', import.meta.url))
const report: DoctorReport = JSON.parse(
  await runProgram(process.execPath, [bin, 'doctor', '--backend', 'tensorflow', '--json']),
)
const card = report.graphicsCards.find(({ isUsed }) => isUsed)
if (!card && !values['without-card']) {
  console.error((await runProgram(process.execPath, [bin, 'doctor', '--backend', 'tensorflow'])).trimEnd())
  console.error('No graphics card is used here, so nothing was measured.')
  process.exit(2)
}
if (card?.uuid) process.env.CUDA_VISIBLE_DEVICES = card.uuid // the same one for all parts

const folder = mkdtempSync(join(tmpdir(), 'ltx-a2a-gpu-'))
const onStage = (stage: string) => console.error(stage)
try {
  const check: GpuCheck = {
    date: new Date().toISOString().slice(0, 10),
    report,
    card,
    tests: await runTests(join(folder, 'tests.json'), onStage),
    benches: await measureSteps(values.blocks.split(',').map(Number), card, onStage),
    resumed: await compareResumedRuns(),
  }
  writeFileSync(values.out, gpuPage(check))
  console.log(`${values.out}: ${isGood(check) ? 'all checks passed' : 'a check FAILED'}`)
  process.exitCode = isGood(check) ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function compareResumedRuns(): Promise<GpuCheck['resumed']> {
  onStage('Killing and resuming runs')
  try {
    const options = { kills: Number(values.kills), seed: 1, backend: 'tensorflow', onRun: onStage }
    const { kills, runs, failures } = await killTest({ folder: mkdtempSync(join(folder, 'kills-')), ...options })
    return { kills: sum(Object.values(kills)), runs, failures }
  } catch (error) {
    return { kills: 0, runs: 0, failures: [String(error)] } // even the run without a kill has failed
  }
}
