"""The README of the data: its text, and the tables that test/golden/golden.ts reads."""
import re
from dataclasses import dataclass
from math import floor, log10

import numpy as np

from . import library
from .errors import relative_error
from .tower import FULL, bfloat16, head_shape, pair_speeds

SMALLEST_TOLERANCE = 1e-5


@dataclass
class Row:
    pattern: str
    meaning: str
    shape: str = ''
    measured: str = '–'
    tolerance: tuple[float, float] = (0, 0)

    def matches(self, name: str) -> bool:
        """As in golden.ts: `{K}` stands for anything, and the first matching row counts."""
        return bool(re.fullmatch(re.sub(r'\\\{.+?\\\}', '.+?', re.escape(self.pattern)), name))


def rows(exact: dict, float32: dict, float64: dict) -> list[Row]:
    """The table, with measured errors and the tolerances that follow from them."""
    last = max(int(name.split('hidden')[1]) for name in float32 if 'hidden' in name)
    table = [
        Row('c{K}.hidden0', 'hidden state 0: scaled embeddings'),
        Row(f'c{{K}}.hidden{last}', 'last hidden state: after the final norm'),
        Row('c{K}.hidden{j}', 'hidden state j: output of layer j − 1, after layer_scalar'),
        Row('rope.full.cos', 'cos of full layers, one column per pair; the last columns are not rotated'),
        Row('rope.full.sin', 'sin of full layers'),
        Row('rope.sliding.cos', 'cos of sliding layers'),
        Row('rope.sliding.sin', 'sin of sliding layers'),
        Row('c{K}.ids', 'token ids with BOS, without padding (I32)'),
        Row('c{K}.rows', 'which tokens the hidden states hold; 0 = BOS (I32)'),
        Row('rope.positions', 'positions of the rope tables (I32)'),
    ]
    left = {**float32, **exact}
    for row in table:
        names = [name for name in left if row.matches(name)]
        shapes = [left.pop(name).shape for name in names]
        row.shape = ', '.join(dict.fromkeys('×'.join(map(str, shape)) for shape in shapes))
        measured = [relative_error(float32[name], float64[name]) for name in names if name in float32]
        if measured:
            largest = np.max(measured, axis=0)
            row.measured = ' / '.join(f'{error:.0e}' for error in largest)
            row.tolerance = tuple(_tolerance(error) for error in largest)
    assert not left, left.keys()
    return table


def _tolerance(measured: float) -> float:
    """Ten times the measured error, rounded up to 1, 2 or 5 times a power of ten."""
    wanted = max(10 * measured, SMALLEST_TOLERANCE)
    exponent = floor(log10(wanted) + 1e-9)
    digit = next(digit for digit in (1, 2, 5, 10) if digit * 10**exponent >= wanted * (1 - 1e-9))
    return float(f'{digit}e{exponent}')


def tolerance_of(table: list[Row], name: str) -> tuple[float, float]:
    return next(row.tolerance for row in table if row.matches(name))


def parse(text: str) -> list[Row]:
    """The rows of the table of a README."""
    table = []
    for pattern, shape, meaning, measured, tolerance in re.findall(r'^\| `([^`|]+)` \|(.*)\|(.*)\|(.*)\|(.*)\|$', text, re.M):
        values = (0.0, 0.0) if tolerance.strip() == 'exact' else tuple(map(float, tolerance.split('/')))
        table.append(Row(pattern, meaning.strip(), shape.strip(), measured.strip(), values))
    return table


def text(packed, table: list[Row], effects, padded: float, versions: str) -> str:
    c = packed.text_config
    full = [i for i, kind in enumerate(c['layer_types']) if kind == FULL]
    sliding_width, sliding_keys = head_shape(c, 'sliding_attention')
    full_width, full_keys = head_shape(c, FULL)
    rope = c['rope_parameters']
    multiplier = bfloat16(c['hidden_size'] ** 0.5)
    exact = lambda row: 'exact' if row.tolerance == (0, 0) else ' / '.join(_short(t) for t in row.tolerance)
    tensor_rows = '\n'.join(f'| `{r.pattern}` | {r.shape} | {r.meaning} | {r.measured} | {exact(r)} |' for r in table)
    mistake_rows = '\n'.join(
        f'| {e.mistake} | hidden state {e.first} | {e.largest:.0e} | {_two_digits(e.factor)} |' for e in effects
    )
    return f"""# Reference values of Gemma 4's text tower

A miniature text encoder with random weights, captions, and the hidden states that the public library computes from them: {versions}. Nothing is trained. Written by `scripts/gemma4-reference.py`, which also says how to repeat or check it.

* The BF16 weights are widened to float32, and everything is computed in float32 on a CPU. Attention is the library's eager kind.
* The embeddings are multiplied by sqrt(hidden) rounded to bfloat16: {multiplier} instead of {c['hidden_size'] ** 0.5:.4f}. The library rounds it to the dtype of the embeddings, so in a float32 model it would not be rounded to bfloat16; the script sets it, because LTX runs the tower in bfloat16. With the released hidden size the value is 62.
* The library's list of hidden states ends with the state after the final norm; the output of the last layer before that norm is not in it. The script verifies this.
* Captions are not padded, and positions start at 0. Left padding to {library.CONTEXT_LENGTH} tokens, with positions that count the padding, moves the last hidden states by at most {padded:.0e} of their largest value.
* Relative error is max|a − b| / max|b| over a whole tensor (b = stored); "L2" is ‖a − b‖ / ‖b‖. "measured" is the difference between the library's float32 and a separate float64 implementation (`scripts/gemma4/tower.py`), which does not use the library. "tolerance" is about ten times that, at least 1e-5. On a GPU with approximate exp, sin and rsqrt, allow ten times the tolerance.

## Dimensions

| | value |
|---|---|
| hidden | {c['hidden_size']}, {c['num_hidden_layers']} layers, MLP {c['intermediate_size']}, {c['vocab_size']} tokens |
| layers {', '.join(map(str, full))} | full attention: {c['num_attention_heads']} query heads × {full_width}, {full_keys} key heads, the values are the raw keys; theta {rope[FULL]['rope_theta']:.0f}, {np.count_nonzero(pair_speeds(c, FULL))} of {full_width // 2} pairs rotated (partial_rotary_factor {rope[FULL]['partial_rotary_factor']}) |
| other layers | sliding attention over {c['sliding_window']} tokens: {c['num_attention_heads']} query heads × {sliding_width}, {sliding_keys} key and value heads; theta {rope['sliding_attention']['rope_theta']:.0f} |

## Files

### `gemma4-tiny.safetensors` — Packed text encoder

Names, dtypes and metadata as in the released file: the language model (`model.*`, with `layer_scalar` [1] and without `v_proj` in full layers), `text_embedding_projection.*`, and the bytes of the tokenizer and of two JSON files (U8). Metadata: `format` and `gemma_config`. `gemma_version` is a test value. The video projection and the vision and audio parts have loud values and must not be used.

### `captions.json` — Captions

In order, with their token counts: empty; short; with a literal `<bos>` at the start; with white space at both ends and characters that are not in the vocabulary; longer than {library.CONTEXT_LENGTH} tokens, cut at the end.

### `text.safetensors` — Captions to hidden states

`cK.` = caption K of `captions.json`. All tokens are stored; of the long caption, some.

| tensor | shape | meaning | measured max / L2 | tolerance max / L2 |
|---|---|---|---|---|
{tensor_rows}

## What each mistake changes

Each mistake alone, made in the float64 implementation. "first seen in" is the first hidden state beyond its tolerance. "change" is the largest relative change of a stored tensor. "factor" is the largest change in units of its tolerance. The scalar of the last layer changes nothing, because the final norm cancels it. Without BOS, or with a second one, the ids differ as well; the change is that of the other tokens.

| mistake | first seen in | change | factor |
|---|---|---|---|
{mistake_rows}
"""


def _short(value: float) -> str:
    return re.sub(r'e-0?', 'e-', f'{value:.0e}')


def _two_digits(value: float) -> str:
    return f'{float(f"{value:.1e}"):,.0f}'
