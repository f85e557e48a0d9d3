/** The formats that can be fuzzed, by their names. */
import { allAudioFormat, wavFormat } from './formats/audio.ts'
import { configFormat } from './formats/config.ts'
import type { Format } from './formats/format.ts'
import { safetensorsFormat } from './formats/safetensors.ts'
import { zipFormat } from './formats/zip.ts'

export const formatNames = ['zip', 'safetensors', 'wav', 'audio', 'config'] as const

export type FormatName = (typeof formatNames)[number]

/** @param forbidden paths and URLs that the tool must not open. */
export async function makeFormat(name: FormatName, folder: string, forbidden: readonly string[]): Promise<Format> {
  switch (name) {
    case 'zip':
      return zipFormat()
    case 'safetensors':
      return safetensorsFormat()
    case 'wav':
      return wavFormat(forbidden)
    case 'audio':
      return allAudioFormat(folder, forbidden)
    case 'config':
      return configFormat()
  }
}
