/** The reference recording of a preview. */
import type { Waveform } from '../audio/waveform.ts'
import { defaultLimits, type Limits } from '../config/limits.ts'
import { fitReference } from '../dataset/clips.ts'
import { openFile } from '../net/download.ts'

/**
 * At most `seconds` of a reference at a path or URL.
 * @param options.normalize as for the clips that the LoRA was trained on: the LoRA has seen no other level.
 */
export async function readReference(
  location: string,
  { seconds, normalize, limits = defaultLimits }: { seconds: number; normalize: boolean; limits?: Limits },
): Promise<Waveform> {
  const file = await openFile(location, { limits })
  try {
    return await fitReference(file.path, seconds, { normalize, limits })
  } finally {
    await file.close()
  }
}
