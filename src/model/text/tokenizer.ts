/** Captions to token ids (reference §5.2): no chat template, no end marker. Marker strings inside a caption become their special tokens. */
import { Tokenizer } from '@huggingface/tokenizers'
import { z } from 'zod'
import { UserError } from '../../platform/errors.ts'
import { readFolderJson } from './gemma-folder.ts'

/** How many tokens the transformer sees per caption: always as many, registers fill what the caption leaves (reference §5.5). */
export const contextLength = 1024

/** A caption's ids: the beginning marker, then at most `contextLength − 1` tokens. */
export type Tokenize = (caption: string) => number[]

const settingsSchema = z.object({ bos_token: z.union([z.string(), z.object({ content: z.string() })]) })

/** @throws UserError when the folder has no tokenizer, or one without a beginning marker. */
export function loadTokenizer(folder: string): Tokenize {
  const definition = readFolderJson(folder, 'tokenizer.json') as object
  const settings = readFolderJson(folder, 'tokenizer_config.json') as object
  const tokenizer = new Tokenizer(definition, settings)
  const begin = bosIdOf(tokenizer, settings)
  if (begin === undefined)
    throw new UserError(`the tokenizer in ${folder} has no beginning marker (bos_token)`, {
      hint: "use the text encoder's own tokenizer.json and tokenizer_config.json",
    })
  return (caption) => {
    const { ids } = tokenizer.encode(caption.trim(), { add_special_tokens: false })
    return [begin, ...ids].slice(0, contextLength)
  }
}

function bosIdOf(tokenizer: Tokenizer, settings: object): number | undefined {
  const { success, data } = settingsSchema.safeParse(settings)
  if (!success) return undefined
  return tokenizer.token_to_id(typeof data.bos_token === 'string' ? data.bos_token : data.bos_token.content)
}
