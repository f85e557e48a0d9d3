/** Training steps at the sizes of the released model, and how much memory of the card they take. */
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { loraTargetModules } from '../../src/config/parameters.ts'
import type { Precision } from '../../src/engine/precision.ts'
import { type Card, readCards } from '../../src/machine/nvidia.ts'
import { ProgramError, runProgram } from '../../src/machine/programs.ts'
import { openBase } from '../../src/model/base-model.ts'
import { engineCosts, requirementsOf } from '../../src/train/requirements.ts'
import { releasedSize } from '../../test/train/released-size.ts'
import type { StepResult } from '../bench/step.ts'

export type StepMeasurement = {
  blocks: number
  /** What the tool expects for the same sizes, without what CUDA itself needs. */
  estimatedBytes: number
  /** How much less memory of the card was free than before, at most; undefined without a card. */
  peakBytes?: number | undefined
  result?: StepResult
  /** Why there is no result. */
  failure?: string
}

const [seconds, rank, steps] = [5, 32, 8]

export async function measureSteps(
  sizes: readonly number[],
  card: Card | undefined,
  onStage: (stage: string) => void,
): Promise<StepMeasurement[]> {
  const results: StepMeasurement[] = []
  for (const blocks of sizes) {
    onStage(`Training steps: ${blocks} blocks`)
    results.push(await measure(blocks, card))
  }
  return results
}

async function measure(blocks: number, card: Card | undefined): Promise<StepMeasurement> {
  const bench = fileURLToPath(new URL('../bench.ts', import.meta.url))
  const sizes = ['--blocks', blocks, '--seconds', seconds, '--rank', rank, '--steps', steps].map(String)
  const args = ['--import', 'tsx', bench, 'step', ...sizes, '--backend', 'tensorflow', '--json']
  type Outcome = Pick<StepMeasurement, 'result' | 'failure'>
  const running: Promise<Outcome> = runProgram(process.execPath, args).then(
    (output) => ({ result: JSON.parse(output.trim().split('\n').at(-1) as string) as StepResult }),
    (error) => {
      if (error instanceof ProgramError) return { failure: error.message }
      throw error
    },
  )
  const peakBytes = await peakOf(card, running)
  const outcome = await running
  return {
    blocks,
    estimatedBytes: estimate(blocks, (outcome.result?.precision ?? 'bfloat16') as Precision),
    peakBytes,
    ...outcome,
  }
}

/** Asks nvidia-smi again and again until the work is done. */
async function peakOf(card: Card | undefined, work: Promise<unknown>): Promise<number | undefined> {
  const before = await freeBytesOf(card)
  if (before === undefined) return undefined
  let [least, isDone] = [before, false]
  const done = work.finally(() => {
    isDone = true
  })
  while (!isDone) {
    least = Math.min(least, (await freeBytesOf(card)) ?? least)
    await Promise.race([setTimeout(200), done])
  }
  return before - least
}

const freeBytesOf = async (card: Card | undefined) =>
  card && (await readCards()).cards.find(({ index }) => index === card.index)?.freeBytes

function estimate(blocks: number, precision: Precision): number {
  const size = {
    ...{ audioDurationSeconds: seconds, rank, targetModules: loraTargetModules, numberOfSteps: steps },
    ...{ checkpointInterval: 0, previewInterval: 0, clips: 0, texts: 0, unknownTexts: 0, previews: 0 },
  }
  const memory = { place: 'the graphics card', memory: Number.POSITIVE_INFINITY } as const
  return requirementsOf(releasedSize(openBase(), blocks), size, engineCosts('tensorflow', precision, { memory })).memory
}
