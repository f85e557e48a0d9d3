/** The effects that have a name, and how their strengths are drawn. */

import type { Range } from '../../config/parameter.ts'
import type { EffectPreset, effectPresets } from '../../config/parameters.ts'
import type { Random } from '../../platform/random.ts'
import { keepBand } from './band-filter.ts'
import { clip, saturate } from './distortion.ts'
import { addCrackle, addNoise, noiseColors } from './noise.ts'
import { addReverb } from './reverb.ts'
import type { Stage } from './stages.ts'

/** What was drawn for one recording, with the units in the names. */
export type Strengths = Readonly<Record<string, number | string>>

export type DrawnEffect = {
  strengths: Strengths
  /** Whether the result gets the level of the recording, because the effect changes it only by the way. */
  keepsLevel?: true
  /** Whether it is a filter graph, of which nothing is known. */
  isGraph?: true
  /** @param random draws the noise. */
  stages(random: Random): Stage[]
}

export type DrawOptions = {
  snr: Range
  /** Of the recording, in Hz: what is above half of it cannot be kept. */
  sampleRate: number
  channelCount: number
}

type Preset = (random: Random, options: DrawOptions) => DrawnEffect

/** At twice the rate, some recordings change by less than can be heard at the 16 kHz of the model. */
const kilobitsPerChannel = 16

const presets: Readonly<Record<EffectPreset, Preset>> = {
  telephone: (random, { sampleRate }) => {
    const strengths = {
      lowHz: uniform(random, 250, 400),
      highHz: below(sampleRate, uniform(random, 2800, 3600)),
      snrDb: uniform(random, 25, 45),
    }
    const { lowHz, highHz, snrDb } = strengths
    return {
      strengths,
      keepsLevel: true,
      stages: (random) => [
        { kind: 'process', create: addNoise(random, { color: 'white', snrDb }) },
        { kind: 'process', create: keepBand(lowHz, highHz) },
        { kind: 'codec', extension: '.wav', encoder: ['-c:a', 'pcm_mulaw'], rate: 8000 },
      ],
    }
  },
  radio: (random, { sampleRate }) => {
    const strengths = {
      lowHz: uniform(random, 150, 400),
      highHz: below(sampleRate, uniform(random, 2500, 5000)),
      driveDb: uniform(random, 3, 15),
      snrDb: uniform(random, 15, 35),
    }
    const { lowHz, highHz, driveDb, snrDb } = strengths
    return {
      strengths,
      keepsLevel: true,
      stages: (random) => [
        { kind: 'process', create: saturate(driveDb) },
        { kind: 'process', create: addNoise(random, { color: 'pink', snrDb }) },
        { kind: 'process', create: keepBand(lowHz, highHz) },
      ],
    }
  },
  vinyl: (random, { sampleRate }) => {
    const strengths = {
      lowHz: uniform(random, 30, 80),
      highHz: below(sampleRate, uniform(random, 5000, 10_000)),
      snrDb: uniform(random, 12, 22),
      clicksPerSecond: uniform(random, 5, 40),
      clickDb: uniform(random, -18, -4),
    }
    const { lowHz, highHz, snrDb, clicksPerSecond, clickDb } = strengths
    return {
      strengths,
      keepsLevel: true,
      stages: (random) => [
        { kind: 'process', create: addNoise(random, { color: 'pink', snrDb }) },
        { kind: 'process', create: addCrackle(random, { perSecond: clicksPerSecond, levelDb: clickDb }) },
        { kind: 'process', create: keepBand(lowHz, highHz) },
      ],
    }
  },
  room: (random) => {
    const strengths = { rt60Seconds: uniform(random, 0.3, 1.2), directDb: uniform(random, -3, 9) }
    const { rt60Seconds: rt60, directDb } = strengths
    return { strengths, stages: (random) => [{ kind: 'process', create: addReverb(random, { rt60, directDb }) }] }
  },
  mp3: (_, { channelCount }) => mp3(kilobitsPerChannel * channelCount, ['-joint_stereo', '0']),
  'mp3-64k': () => mp3(64),
  clipping: (random) => {
    const depthDb = uniform(random, 6, 20)
    return { strengths: { depthDb }, stages: () => [{ kind: 'process', create: clip(depthDb) }] }
  },
  noise: (random, { snr }) => {
    const color = noiseColors[Math.floor(random.uniform() * noiseColors.length)] ?? 'white'
    const snrDb = uniform(random, snr.from, snr.to)
    return {
      strengths: { color, snrDb },
      stages: (random) => [{ kind: 'process', create: addNoise(random, { color, snrDb }) }],
    }
  },
}

function mp3(kilobitsPerSecond: number, options: readonly string[] = []): DrawnEffect {
  const encoder = ['-c:a', 'libmp3lame', '-b:a', `${kilobitsPerSecond}k`, ...options]
  return {
    strengths: { kilobitsPerSecond },
    keepsLevel: true,
    stages: () => [{ kind: 'codec', extension: '.mp3', encoder }],
  }
}

const isPreset = (effect: string): effect is (typeof effectPresets)[number] => Object.hasOwn(presets, effect)

/** The effect with its strengths for one recording. What is not the name of a preset is a filter graph of ffmpeg. */
export function drawEffect(effect: string, random: Random, options: DrawOptions): DrawnEffect {
  if (isPreset(effect)) return presets[effect](random, options)
  return { strengths: {}, isGraph: true, stages: () => [{ kind: 'filter', graph: effect }] }
}

/** A frequency that the recording can have. */
const below = (sampleRate: number, hertz: number) => Math.min(hertz, sampleRate / 2)

/** With two decimals, so that what is written down is what was applied. */
const uniform = (random: Random, low: number, high: number) =>
  Math.round(100 * (low + (high - low) * random.uniform())) / 100
