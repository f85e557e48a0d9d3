"""The captions, and a small tokenizer of Gemma's kind: BPE with byte fallback, spaces as U+2581, no post-processor."""
import json
import random
from collections import Counter

PLACEHOLDER = '<soft_token>'
SPECIAL = ['<pad>', '<eos>', '<bos>', '<unk>', PLACEHOLDER]
SPACE = '\u2581'
MERGES = 120
LONG_CAPTION_WORDS = 700

CORPUS = """
a woman speaks calmly in a large hall. a man whispers close to the microphone, then laughs.
heavy rain on a tin roof, distant thunder, wind in the trees. a dog barks twice and a door closes.
convert the recording to a studio voice without noise; keep the words and the timing.
the crowd cheers while a band plays a slow song with piano, bass and drums.
footsteps on gravel become slower, birds sing, a train passes in the distance.
the same speech in a small room, slightly muffled, with soft music in the background.
"""


def make_captions() -> list[str]:
    """An empty one, a short one, a literal BOS, white space at both ends and text beyond ASCII, and one that is cut."""
    words = CORPUS.split()
    chosen = random.Random(7).choices(words, k=LONG_CAPTION_WORDS)
    return [
        '',
        'a woman speaks calmly, heavy rain',
        '<bos>a door closes and the crowd cheers in the hall',
        ' \t\u3000 Voix  du café : naïve „Größe“\n雨の音 🎧 — a slow song\n\nwith <bos> inside \n',
        ' '.join(chosen),
    ]


def _learn_merges() -> list[tuple[str, str]]:
    """The most frequent pairs of neighbours, one after another; the alphabetically first of equals."""
    words = Counter(tuple(SPACE + word) for word in CORPUS.split())
    merges = []
    for _ in range(MERGES):
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = Counter({_merged(word, best): count for word, count in words.items()})
    return merges


def _merged(word, pair):
    symbols = []
    for symbol in word:
        if symbols and (symbols[-1], symbol) == pair:
            symbols[-1] += symbol
        else:
            symbols.append(symbol)
    return tuple(symbols)


_merges = _learn_merges()
_alphabet = sorted(set(CORPUS.replace('\n', '').replace(' ', SPACE)))
_bytes = [f'<0x{byte:02X}>' for byte in range(256)]
TOKENS = list(dict.fromkeys([*SPECIAL, *_bytes, *_alphabet, *map(''.join, _merges)]))


def tokenizer_json() -> str:
    flags = {'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': True}
    return json.dumps(
        {
            'version': '1.0',
            'truncation': None,
            'padding': None,
            'added_tokens': [{'id': TOKENS.index(token), 'content': token, **flags} for token in SPECIAL],
            'normalizer': {'type': 'Replace', 'pattern': {'String': ' '}, 'content': SPACE},
            'pre_tokenizer': {
                'type': 'Split',
                'pattern': {'String': ' '},
                'behavior': 'MergedWithPrevious',
                'invert': False,
            },
            'post_processor': None,
            'decoder': {
                'type': 'Sequence',
                'decoders': [
                    {'type': 'Replace', 'pattern': {'String': SPACE}, 'content': ' '},
                    {'type': 'ByteFallback'},
                    {'type': 'Fuse'},
                ],
            },
            'model': {
                'type': 'BPE',
                'dropout': None,
                'unk_token': '<unk>',
                'continuing_subword_prefix': None,
                'end_of_word_suffix': None,
                'fuse_unk': True,
                'byte_fallback': True,
                'ignore_merges': False,
                'vocab': {token: i for i, token in enumerate(TOKENS)},
                'merges': [list(pair) for pair in _merges],
            },
        },
        ensure_ascii=False,
    )
