/** The text encoder's folder: what a Gemma 3 download holds beside its weights. */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { UserError } from '../../errors.ts'

const hint =
  'name the folder of a Gemma 3 download: config.json, tokenizer.json, tokenizer_config.json and model*.safetensors'

/** One JSON file of the folder. @throws UserError when the folder or the file is missing, or is not JSON. */
export function readFolderJson(folder: string, file: string): unknown {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new UserError(`the text encoder ${folder} is not a folder`, { hint })
  try {
    return JSON.parse(readFileSync(join(folder, file), 'utf8'))
  } catch (cause) {
    throw new UserError(`the text encoder folder ${folder} has no readable ${file}`, { hint, cause })
  }
}
