"""
Reference values of Gemma 4's text tower, computed by the public library transformers (model type `gemma4_unified`).

Writes a miniature text encoder with random weights, captions, and what the library computes from them:

    python3 -m venv runs/gemma4-venv
    runs/gemma4-venv/bin/pip install transformers==5.24.0 torch==2.15.0 numpy==2.4.6
    runs/gemma4-venv/bin/python scripts/gemma4-reference.py

torch for the CPU is enough, and no model is downloaded. transformers must be 5.14.1 or later; 5.14.1 and 5.24.0 compute
the same bits. The weights are seeded and the library has one thread: the same versions on the same machine write the
same bytes.

    runs/gemma4-venv/bin/python scripts/gemma4-reference.py --check test/golden/gemma4

reads only the stored files, computes everything again, and compares: token ids exactly, everything else within the
tolerances of the folder's README, both with the library and with the separate float64 implementation in
`gemma4/tower.py`. It also verifies that each mistake of `gemma4/mistakes.py` moves a number far beyond its tolerance.
Exit code 1 if anything differs. Both take a minute or two.
"""
import argparse
import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.dont_write_bytecode = True

import numpy as np

from gemma4 import library, mistakes, readme, tiny, tower
from gemma4.captions import make_captions
from gemma4.errors import relative_error
from gemma4.packed import Packed, read_packed, read_tensors, write_tensors

MODEL, CAPTIONS, TEXT, README = 'gemma4-tiny.safetensors', 'captions.json', 'text.safetensors', 'README.md'
DEFAULT_FOLDER = Path(__file__).parent.parent / 'test' / 'golden' / 'gemma4'
POSITIONS = np.array([0, 1, 2, 15, 16, 17, 100, 511, 1023], dtype=np.int32)
LONG_CAPTION_ROWS = [0, 1, 15, 16, 17, 100, 511, 777, 1000, 1022, 1023]
SMALLEST_FACTOR = 10
"""How many tolerances each mistake must move a number at least: tests on a GPU may use ten times the tolerance."""


@dataclass
class Values:
    exact: dict[str, np.ndarray]
    """Token ids, rows and positions (I32)."""
    float32: dict[str, np.ndarray]
    """What the library computes."""
    float64: dict[str, np.ndarray]
    """The same numbers by the separate implementation."""
    padding_error: float


def compute(packed: Packed, captions: list[str]) -> Values:
    model = library.load_tower(packed)
    values = Values({'rope.positions': POSITIONS}, {}, {}, 0)
    for k, caption in enumerate(captions):
        ids = library.token_ids(packed, caption)
        rows = LONG_CAPTION_ROWS if len(ids) == library.CONTEXT_LENGTH else list(range(len(ids)))
        values.exact[f'c{k}.ids'] = np.array(ids, dtype=np.int32)
        values.exact[f'c{k}.rows'] = np.array(rows, dtype=np.int32)
        states = library.hidden_states(model, ids)
        states64 = tower.hidden_states(packed.text_config, packed.tower, ids)
        for j, (state, state64) in enumerate(zip(states, states64, strict=True)):
            values.float32[f'c{k}.hidden{j}'] = state[rows]
            values.float64[f'c{k}.hidden{j}'] = state64[rows]
        values.padding_error = max(values.padding_error, library.padding_error(model, packed, ids, states[-1]))
    for kind in 'full', 'sliding':
        names = f'rope.{kind}.cos', f'rope.{kind}.sin'
        values.float32 |= zip(names, library.rope_tables(model, f'{kind}_attention', POSITIONS))
        values.float64 |= zip(names, tower.rope_tables(packed.text_config, f'{kind}_attention', POSITIONS))
    return values


def generate(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / MODEL, *tiny.packed_text_encoder())
    packed, captions = read_packed(folder / MODEL), make_captions()
    values = compute(packed, captions)
    _write_captions(folder, [(caption, len(values.exact[f'c{k}.ids'])) for k, caption in enumerate(captions)])
    tensors = {name: ('I32', array) for name, array in values.exact.items()}
    tensors |= {name: ('F32', array) for name, array in values.float32.items()}
    write_tensors(folder / TEXT, tensors, {'reference': library.versions()})
    table = readme.rows(values.exact, values.float32, values.float64)
    effects = mistakes.effects(packed, captions, values.exact, values.float32, partial(readme.tolerance_of, table))
    text = readme.text(packed, table, effects, values.padding_error, library.versions())
    (folder / README).write_text(text, encoding='utf-8')
    for name in MODEL, CAPTIONS, TEXT, README:
        print(f'{folder / name}: {(folder / name).stat().st_size:,} bytes')
    _report(values.float32, values.float64, 'float32 against float64')
    _exit_if(_invisible(effects))


def check(folder: Path) -> None:
    packed, stored = read_packed(folder / MODEL), read_tensors(folder / TEXT)
    entries = json.loads((folder / CAPTIONS).read_text(encoding='utf-8'))['captions']
    captions = [entry['caption'] for entry in entries]
    tolerance = partial(readme.tolerance_of, readme.parse((folder / README).read_text(encoding='utf-8')))
    values = compute(packed, captions)
    names = values.exact.keys() | values.float32.keys()
    _exit_if([f'{name} is missing or not expected' for name in stored.keys() ^ names])
    problems = [f'{name} differs' for name in values.exact if not np.array_equal(values.exact[name], stored[name])]
    for k, entry in enumerate(entries):
        if entry['n'] != len(values.exact[f'c{k}.ids']):
            problems.append(f'caption {k} has {len(values.exact[f"c{k}.ids"])} tokens, {CAPTIONS} says {entry["n"]}')
    for label, computed in ('the library', values.float32), ('float64', values.float64):
        for name in computed:
            largest, l2 = relative_error(computed[name], stored[name])
            if largest > tolerance(name)[0] or l2 > tolerance(name)[1]:
                problems.append(f'{name}: {label} is off by {largest:.0e} (largest) and {l2:.0e} (L2)')
        _report(computed, stored, f'{label} against the stored numbers')
    identical = sum(np.array_equal(values.float32[name], stored[name]) for name in values.float32)
    print(f'the library: {identical} of {len(values.float32)} tensors are bit-identical')
    _exit_if(problems)
    effects = mistakes.effects(packed, captions, values.exact, stored, tolerance)
    _exit_if(_invisible(effects))
    smallest = min(e.factor for e in effects)
    print(f'{len(effects)} mistakes: each moves a number by {smallest:.0f} times its tolerance or more')


def _report(values, expected, label):
    largest, l2 = np.max([relative_error(values[name], expected[name]) for name in values], axis=0)
    print(f'{label}: largest error {largest:.1e}, L2 {l2:.1e}')


def _invisible(effects):
    weak = [e for e in effects if e.factor < SMALLEST_FACTOR]
    return [f'"{e.mistake}" moves the numbers by only {e.factor:.1f} times the tolerance' for e in weak]


def _exit_if(problems):
    if problems:
        sys.exit('\n'.join(sorted(problems)))


def _write_captions(folder, captions):
    cut = f'at most {library.CONTEXT_LENGTH} tokens (tail cut)'
    content = {
        'reference': library.versions(),
        'tokenisation': f'strip, BOS prepended unless it is there, no EOS, {cut}',
        'captions': [{'caption': caption, 'n': n} for caption, n in captions],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + '\n'
    (folder / CAPTIONS).write_text(text, encoding='utf-8')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description="Reference values of Gemma 4's text tower.")
    where = 'where to write; default test/golden/gemma4'
    parser.add_argument('folder', nargs='?', type=Path, default=DEFAULT_FOLDER, help=where)
    parser.add_argument('--check', metavar='FOLDER', type=Path, help='compare the files of a folder instead')
    options = parser.parse_args()
    if options.check:
        check(options.check)
    else:
        generate(options.folder)
