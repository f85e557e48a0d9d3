import { createFingerprinter, type Fingerprint } from '../../../src/audio/analysis/fingerprint.ts'
import { interleave, type Waveform } from '../../../src/audio/waveform.ts'

/** The fingerprint of a sound that is decoded at once. */
export function fingerprintOf(sound: Waveform, seconds = Number.POSITIVE_INFINITY): Fingerprint {
  const fingerprinter = createFingerprinter(seconds)
  fingerprinter.add(interleave(sound), { sampleRate: sound.sampleRate, channelCount: sound.channels.length })
  return fingerprinter.read()
}
