/** The tokenizer (reference §5.2, §10.2): no chat template, no end token. Names of special tokens inside a caption become those tokens. */
import { Tokenizer } from '@huggingface/tokenizers'
import { z } from 'zod'
import { UserError } from '../../platform/errors.ts'
import type { TextEncoder } from './text-encoder.ts'

/** The number of tokens in every context. Registers fill the positions after the caption (reference §5.5). */
export const contextLength = 1024

/** The ids of a caption: the start token `<bos>`, then at most `contextLength − 1` tokens. */
export type Tokenize = (caption: string) => number[]

const settingsSchema = z.object({ bos_token: z.union([z.string(), z.object({ content: z.string() })]) })

/** @throws UserError when the text encoder has no tokenizer, or the tokenizer has no start token. */
export function loadTokenizer({ path, config, tokenizer: read }: TextEncoder): Tokenize {
  const { definition, settings } = read()
  const tokenizer = createTokenizer(path, definition, settings)
  const bosId = bosIdOf(tokenizer, settings)
  if (bosId === undefined)
    throw new UserError(`the tokenizer in ${path} has no start token (bos_token)`, {
      hint: 'use the tokenizer.json and tokenizer_config.json that belong to this text encoder',
    })
  return (caption) => {
    const { ids } = tokenizer.encode(caption.trim(), { add_special_tokens: false })
    // the tokenizer of Gemma 3 always adds a start token; for Gemma 4 it is added where the caption does not begin with one
    const hasBos = config.generation === 4 && ids[0] === bosId
    return (hasBos ? ids : [bosId, ...ids]).slice(0, contextLength)
  }
}

/** @throws UserError for JSON that is no tokenizer. */
function createTokenizer(path: string, definition: object, settings: object): Tokenizer {
  try {
    const tokenizer = new Tokenizer(definition, settings)
    tokenizer.encode('a', { add_special_tokens: false })
    return tokenizer
  } catch (cause) {
    throw new UserError(`the tokenizer in ${path} cannot be used`, {
      hint: 'use the tokenizer.json and tokenizer_config.json that belong to this text encoder',
      cause,
    })
  }
}

function bosIdOf(tokenizer: Tokenizer, settings: object): number | undefined {
  const { success, data } = settingsSchema.safeParse(settings)
  if (!success) return undefined
  return tokenizer.token_to_id(typeof data.bos_token === 'string' ? data.bos_token : data.bos_token.content)
}
