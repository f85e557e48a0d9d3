/** Events as text for people: on the terminal, and in the log of a server. */
import { tmpdir } from 'node:os'
import { sizeText } from '../platform/text.ts'
import type { MachineResources, RunRequirements } from './requirements.ts'

/** Two lines at the start of a run. */
export function requirementLines(
  { weights, trained, step, captions, memory, run, cache, temporary }: RunRequirements,
  { place, freeMemory, runDisk, cacheDisk }: MachineResources,
): string[] {
  const parts = [
    ...(captions > 0 ? [`encoding captions ${sizeText(captions)}, then`] : []),
    `weights ${sizeText(weights)}, LoRA and optimizer ${sizeText(trained)}, a step ${sizeText(step)}`,
  ]
  const temporaryFiles = temporary > 0 ? `; ${sizeText(temporary)} of temporary files in ${tmpdir()}` : ''
  const kind = place === 'the graphics card' ? 'Graphics memory' : 'Memory'
  return [
    `${kind}: about ${sizeText(memory)} of ${sizeText(freeMemory)} (${parts.join(' ')})`,
    `Disk: about ${sizeText(run)} for the run, ${sizeText(cache)} for the cache, of ${sizeText(Math.min(runDisk, cacheDisk))}${temporaryFiles}`,
  ]
}

/**
 * The values of a stage as they stand beside its bar: `loss 0.4312 · held-out 0.4510 · s/step 1.20 · memory 0.33 GB`. With a moving average:
 * `held-out (LoRA) 0.4510 · held-out (average) 0.4466`.
 */
export function stageValues(values: Readonly<Record<string, number>>): Record<string, string> {
  const hasAverage = values.emaHeldOutLoss !== undefined
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      if (name === 'loss') return ['loss', value.toFixed(4)]
      if (name === 'heldOutLoss') return [hasAverage ? 'held-out (LoRA)' : 'held-out', value.toFixed(4)]
      if (name === 'emaHeldOutLoss') return ['held-out (average)', value.toFixed(4)]
      if (name === 'secondsPerStep') return ['s/step', value.toFixed(2)]
      if (name === 'memoryBytes') return ['memory', `${(value / 1e9).toFixed(2)} GB`]
      return [name, String(value)]
    }),
  )
}
