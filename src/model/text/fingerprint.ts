/** Which text encoder made a context. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fingerprint } from '../../checkpoint/fingerprint.ts'
import { openShards } from '../../checkpoint/shards.ts'
import { readFolderJson } from './folder.ts'

/** Whether a tensor of a Gemma 3 download belongs to its text tower. The head that predicts tokens is not read either. */
export const isTextTensor = (name: string) => !/vision|multi_modal_projector|^(language_model\.)?lm_head\./.test(name)

/**
 * Changes with the text tower's weights and with the tokenizer.
 * @throws UserError when the folder lacks them.
 */
export function textEncoderFingerprint(folder: string): string {
  readFolderJson(folder, 'tokenizer.json')
  const weights = openShards(folder)
  try {
    const tokenizer = createHash('sha256')
      .update(readFileSync(join(folder, 'tokenizer.json')))
      .digest('hex')
    return `${fingerprint(weights, isTextTensor)}-${tokenizer.slice(0, 8)}`
  } finally {
    weights.close()
  }
}
