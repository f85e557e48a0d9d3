/** The page of `npm run check:gpu`. */

import { cardText } from '../../src/machine/nvidia.ts'
import { sizeText } from '../../src/platform/text.ts'
import type { CardFacts, DoctorReport } from '../../src/setup/doctor.ts'
import type { StepMeasurement } from './benches.ts'
import type { TestGroup } from './tests.ts'

export type GpuCheck = {
  date: string
  report: DoctorReport
  /** The card that was used. */
  card: CardFacts | undefined
  tests: TestGroup[]
  benches: StepMeasurement[]
  resumed: { kills: number; runs: number; failures: string[] }
}

export const isGood = ({ tests, benches, resumed }: GpuCheck): boolean =>
  tests.every(({ passed, failures }) => passed > 0 && failures.length === 0) &&
  benches.every(({ result }) => result !== undefined) &&
  resumed.runs > 0 &&
  resumed.failures.length === 0

export const gpuPage = (check: GpuCheck): string => `# Measurements on a graphics card

Written by \`npm run check:gpu\` on ${check.date}, ltx-a2a ${check.report.tool}. ${isGood(check) ? 'All checks passed.' : '**A check failed.**'}

## Machine

${machine(check)}

## Correctness

| tests | passed | failed | skipped |
|---|---|---|---|
${check.tests.map(({ name, passed, failures, skipped }) => `| ${name} | ${passed} | ${failures.length} | ${skipped} |`).join('\n')}

${resumed(check)}
${failures(check)}
## Training steps

The audio stream at the width of the released model with random weights, rank 32, clips of 5 s
([benchmarks.md](benchmarks.md)). Memory of the card is what \`nvidia-smi\` shows less free than before, at most: TensorFlow
takes it in growing pieces, and CUDA itself needs about 0.4 GB of it. The estimate is what \`train\` compares with the card,
without that.

| blocks | s per step (fastest) | product, TFLOP/s | floor, s | ratio | load, s | first step, s | memory of the card | estimate | on a processor with AMX, s per step |
|---|---|---|---|---|---|---|---|---|---|
${check.benches.map(benchRow).join('\n')}
`

function machine({ report: { processor, node, system, backend, products }, card }: GpuCheck): string {
  const product = (probe: NonNullable<DoctorReport['products']>['float32'] | undefined) =>
    probe?.works
      ? `${(probe.gigaflops / 1000).toPrecision(3)} TFLOP/s${probe.roundsToNearest ? '' : ', not rounded to nearest'}`
      : 'none'
  const rows = [
    ['card', card ? cardText(card) : 'none: tried on the processor'],
    ...(card
      ? [
          [
            'memory, driver, compute capability',
            [
              card.totalBytes === undefined ? 'unknown' : sizeText(card.totalBytes),
              card.driver,
              card.computeCapability,
            ].join(', '),
          ],
        ]
      : []),
    ['backend', backend.description ?? backend.failure ?? ''],
    ['products', `float32 ${product(products?.float32)}; bfloat16 ${product(products?.bfloat16)}`],
    ['processor', `${processor.model}, ${processor.threads} threads`],
    ['system', `${system}, Node ${node}`],
  ]
  return ['| | |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n')
}

const resumed = ({ resumed: { kills, runs, failures } }: GpuCheck) =>
  `${runs} runs that were killed ${kills} times and resumed gave the bytes of an uninterrupted run, ${failures.length} did not.\n`

function failures({ tests, benches, resumed }: GpuCheck): string {
  const all = [
    ...tests.flatMap(({ failures }) => failures),
    ...benches.flatMap(({ blocks, failure }) => (failure === undefined ? [] : [`${blocks} blocks: ${failure}`])),
    ...resumed.failures,
  ]
  const firstLines = all.map((failure) => `- ${failure.split('\n', 1)[0]}`)
  return firstLines.length === 0 ? '' : `\nWhat failed:\n\n${firstLines.join('\n')}\n`
}

/** By blocks, from benchmarks.md: fused operations, Intel Xeon with AMX, 2 cores. */
const processorSeconds: Readonly<Record<number, number>> = { 4: 0.47, 48: 5.5 }

function benchRow({ blocks, estimatedBytes, peakBytes, result }: StepMeasurement): string {
  const memory = [
    peakBytes === undefined ? 'unknown' : sizeText(peakBytes),
    sizeText(estimatedBytes),
    processorSeconds[blocks] ?? '',
  ]
  if (!result) return `| ${[blocks, 'failed', '', '', '', '', '', ...memory].join(' | ')} |`
  const { secondsPerStep, fastestStep, matmulTeraflops, floorSeconds, ratioToFloor, loadSeconds, firstStepSeconds } =
    result
  const numbers = [matmulTeraflops, floorSeconds, ratioToFloor, loadSeconds, firstStepSeconds].map(short)
  return `| ${[blocks, `${short(secondsPerStep)} (${short(fastestStep)})`, ...numbers, ...memory].join(' | ')} |`
}

const short = (value: number) => String(Number(value.toPrecision(3)))
