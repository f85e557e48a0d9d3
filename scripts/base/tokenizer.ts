/** A small tokenizer like Gemma's: byte-pair encoding, with bytes for unknown characters. */
import { mergeCount } from './sizes.ts'

/** The text from which the merges are learned: words for sounds and for effects. */
const corpus = `
  a calm warm voice speaks slowly in a small room, a low voice sings a soft song, two voices laugh, a child shouts, someone whispers close to
  the microphone, a crowd claps, steps on wet stones, rain on a tin roof, wind through old trees, birds sing in the morning, a dog barks far
  away, water drips into a deep well, waves break on the shore, thunder rolls over the hills, a door slams, glass breaks, an engine starts, a
  train passes, a clock ticks, a phone rings, a bell rings twice, a drum plays a fast beat, a deep bass line, a bright piano melody, a clean
  electric guitar, a distorted guitar, a slow string quartet, a choir in a church, a trumpet with a mute, a synthesizer pad, a short click, a
  long hiss, white noise, a rising tone, a falling tone, silence, the same sound with echo, with more reverb, without noise, brighter, darker,
  louder, softer, higher, lower, faster, slower, cleaner, like an old radio, like a telephone, like a tape, like a robot, under water, behind a
  wall, from the next room, change the tone of this recording and keep the rhythm, the pitch and the words, make it sound warm and natural
`

const specialTokens = ['<pad>', '<eos>', '<bos>', '<unk>']
const turnTokens = ['<start_of_turn>', '<end_of_turn>']
const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
const characters = ['▁', ...Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))]

/** The contents of `tokenizer.json`. Ids are positions in the vocabulary; the turn tokens come last. */
export function makeTokenizer() {
  const merges = learnMerges(corpus.match(/[a-z]+/g) ?? [], mergeCount)
  const learned = merges.map((pair) => pair.join(''))
  const vocabulary = [...new Set([...specialTokens, ...bytes, ...characters, ...learned, ...turnTokens])]
  const marker = (content: string) => ({ id: vocabulary.indexOf(content), content, special: true, ...markerFlags })
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [...specialTokens, ...turnTokens].map(marker),
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<bos>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [{ SpecialToken: { id: '<bos>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      special_tokens: { '<bos>': { id: '<bos>', ids: [vocabulary.indexOf('<bos>')], tokens: ['<bos>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
      ],
    },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: '<unk>',
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
      merges,
    },
  }
}

export const tokenizerConfig = {
  tokenizer_class: 'GemmaTokenizer',
  bos_token: '<bos>',
  eos_token: '<eos>',
  pad_token: '<pad>',
  unk_token: '<unk>',
  add_bos_token: true,
  add_eos_token: false,
  clean_up_tokenization_spaces: false,
}

export const processorConfig = { processor_class: 'Gemma3Processor', image_seq_length: 256 }

const markerFlags = { single_word: false, lstrip: false, rstrip: false, normalized: false }

/** Trains byte-pair encoding: repeatedly, the most frequent pair of adjacent symbols becomes one symbol. */
function learnMerges(words: string[], count: number): [string, string][] {
  let split = words.map((word) => ['▁', ...word])
  return Array.from({ length: count }, () => {
    const [first, second] = mostFrequentPair(split)
    split = split.map((symbols) => merge(symbols, first, second))
    return [first, second]
  })
}

/** Of equally frequent pairs, the one that occurs first. */
function mostFrequentPair(words: string[][]): [string, string] {
  const counts = new Map<string, number>()
  for (const symbols of words)
    for (let i = 1; i < symbols.length; i++) {
      const pair = `${symbols[i - 1]} ${symbols[i]}`
      counts.set(pair, (counts.get(pair) ?? 0) + 1)
    }
  const [best] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))
  return best.split(' ') as [string, string]
}

function merge(symbols: string[], first: string, second: string): string[] {
  const merged: string[] = []
  for (const symbol of symbols)
    if (symbol === second && merged.at(-1) === first) merged[merged.length - 1] = first + second
    else merged.push(symbol)
  return merged
}
