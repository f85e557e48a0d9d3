/** Which text encoder made a context. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fingerprint } from '../../checkpoint/fingerprint.ts'
import { openShards } from '../../checkpoint/shards.ts'
import { readFolderJson } from './folder.ts'

const isVision = /vision|multi_modal_projector/

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
    return `${fingerprint(weights, (name) => !isVision.test(name))}-${tokenizer.slice(0, 8)}`
  } finally {
    weights.close()
  }
}
