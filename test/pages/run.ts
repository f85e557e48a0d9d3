/** A run of 2000 steps on 20 pairs with two previews every 250 steps, a typical large run. */
import { bestCheckpoint, type CheckpointCandidate, judge } from '../../src/audio/analysis/verdict.ts'
import { compressAudio } from '../../src/audio/compress.ts'
import type { Waveform } from '../../src/audio/waveform.ts'
import type { Dataset } from '../../src/dataset/dataset.ts'
import type { DatasetPair } from '../../src/dataset/pair-inspection.ts'
import { randomFor } from '../../src/platform/random.ts'
import type { StepMetrics } from '../../src/report/loss-curves.ts'
import { type PageSound, pageSound } from '../../src/report/page/player.ts'
import type { ReportedClip, RunReport } from '../../src/report/run-page.ts'
import { performance, radio } from '../audio/analysis/sounds.ts'
import { cleanMeasurements } from '../audio/signals.ts'

export const clipSeconds = 5

const sound = async (waveform: Waveform): Promise<PageSound> => pageSound(waveform, await compressAudio(waveform, 96))

const stereo = (seed: number): Waveform => {
  const { sampleRate, channels } = performance(seed, { seconds: clipSeconds, sampleRate: 48_000 })
  return { sampleRate, channels: [channels[0] as Float32Array, (channels[0] as Float32Array).map((x) => x * 0.8)] }
}

export async function largeRun(): Promise<RunReport> {
  const checkpoints = [0, 250, 500, 750, 1000, 1250, 1500, 1750, 2000]
  const validation: ReportedClip[] = []
  for (const seed of [1, 2]) {
    const reference = stereo(seed)
    const previews = []
    for (const step of checkpoints) {
      const preview = step === 0 ? stereo(seed + 50) : step < 1000 ? reference : radio(reference, step)
      previews.push({
        step,
        sound: await sound(preview),
        verdict: judge({ preview, reference, base: step === 0 ? 'preview' : undefined }),
      })
    }
    validation.push({
      prompt: seed === 1 ? 'v1ntage radio, a <calm> voice' : '',
      reference: await sound(reference),
      previews,
    })
  }
  const candidates: CheckpointCandidate[] = checkpoints.map((step, i) => ({
    step,
    verdicts: validation.map(({ previews }) => (previews[i] as (typeof previews)[number]).verdict),
  }))
  const reconstruction = {
    name: 'pair-3',
    original: await sound(stereo(3)),
    reconstructed: await sound(radio(stereo(3))),
    distance: 2.4,
  }
  return {
    choices: candidates.length - 1,
    name: 'takes-20260131-235959',
    state: 'running',
    step: 2000,
    steps: 2500,
    written: '2026-01-31 23:59:59',
    settings: [
      ['rank', '32'],
      ['learning rate', '0.0002, linear'],
      ['base model', '/models/a-folder-with-a-long-name/ltx-2.3-22b-distilled-audio-path-only.safetensors'],
    ],
    metrics: metrics(),
    validation,
    best: bestCheckpoint(candidates),
    reconstructions: [reconstruction, { ...reconstruction, name: 'pair-4' }, { ...reconstruction, name: 'pair-5' }],
    dataset,
    files: [
      { name: 'lora.safetensors', bytes: 84_123_456 },
      { name: 'checkpoints/lora_weights_step_00250.safetensors', bytes: 84_123_456 },
      { name: 'tensorboard/events.out.tfevents.1795412279.74381', bytes: 1_712_345 },
    ],
  }
}

function metrics(): StepMetrics[] {
  const random = randomFor(1, 'metrics')
  return Array.from({ length: 2001 }, (_, step) => {
    if (step === 0) return { step, fixed_loss: 1.1 }
    const sigma = random.uniform()
    const loss = (0.4 + sigma) * (0.6 + 0.4 * Math.exp(-step / 600)) * (0.8 + 0.4 * random.uniform())
    return {
      step,
      loss,
      learning_rate: 2e-4 * (1 - (0.9 * step) / 2500),
      sigmas: [sigma],
      seconds: step === 1 ? 9 : 0.8 + 0.1 * random.uniform(),
      ...(step % 250 === 0 && { fixed_loss: 0.7 + 0.4 * Math.exp(-step / 600) }),
    }
  })
}

const side = (path: string): DatasetPair['reference'] => ({
  path,
  audio: {
    seconds: 5.2,
    sampleRate: 44_100,
    channelCount: 2,
    peakDbfs: -3.1,
    silent: false,
    sound: { ...cleanMeasurements, loudness: -18.2 },
  },
})

export const dataset: Dataset = {
  name: 'takes',
  location: 'takes.zip',
  options: {
    triggerPhrase: 'v1ntage radio',
    seconds: clipSeconds,
    preservePitch: true,
    normalize: true,
    windows: 'first' as const,
  },
  pairs: Array.from({ length: 20 }, (_, i) => ({
    name: `pair-${i + 1}`,
    reference: side(`pair-${i + 1}_start.wav`),
    target: side(`pair-${i + 1}_end.wav`),
    caption: 'v1ntage radio a <script>alert("caption")</script> voice & a bell',
    clips: i === 7 ? { used: 0, all: 0, silent: 0 } : { used: 1, all: 1, silent: 0 },
    plan:
      i === 7
        ? { use: false, reason: 'target has 4.2 s of 5 s' }
        : { use: true, reference: { how: 'trim' }, target: { how: 'trim' } },
    sound: {
      common: 'waveform',
      lagSeconds: i === 3 ? 0.037 : 0,
      inverted: false,
      waveformMatch: 0.4,
      timingMatch: 0.8,
      distance: 6.2,
    },
  })),
  problems: [{ severity: 'hint', message: 'a hint', hint: 'what to do' }],
  counts: { pairs: 20, used: 19, skipped: 1, stretched: 0, trimmed: 19, asIs: 0, clips: 19, allClips: 19 },
  advice: {
    buckets: [
      { seconds: 4.2, pairs: 20 },
      { seconds: 5.2, pairs: 19 },
    ],
    recommendedSeconds: 5.2,
    agreement: 0.57,
    findings: [
      {
        kind: 'out-of-sync',
        severity: 'warning',
        what: 'Out of sync',
        hint: 'move it',
        pairs: [{ name: 'pair-4', detail: '+37 ms' }],
      },
    ],
  },
}
