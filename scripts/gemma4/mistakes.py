"""Typical mistakes in the text tower, each alone, and how far it moves the stored numbers."""
from dataclasses import dataclass, replace
from functools import partial
from math import erf, sqrt

import numpy as np

from . import tower
from .errors import relative_error
from .tower import FULL, RIGHT

SLIDING = 'sliding_attention'


@dataclass
class Effect:
    mistake: str
    first: int
    """The first hidden state beyond its tolerance."""
    largest: float
    """The largest change, relative to the largest value of its tensor."""
    factor: float
    """The largest change in units of its tolerance."""


def _leading_slice(kind, x, positions, speeds):
    rotated = np.count_nonzero(speeds)
    if kind != FULL:
        return tower.rotate(kind, x, positions, speeds)
    return np.concatenate(
        [tower.rotate(kind, x[..., : 2 * rotated], positions, speeds[:rotated]), x[..., 2 * rotated :]], axis=-1
    )


def _exponent_of_rotated_width(kind, width, theta, rotated):
    speeds = tower.frequencies(kind, 2 * rotated, theta, rotated)
    return np.pad(speeds, (0, width // 2 - rotated))


def _of(kind, wrong, right):
    """A rule that is wrong in layers of one kind."""
    return lambda k, *arguments: (wrong if k == kind else right)(k, *arguments)


_norms = {
    'input_layernorm': 'norm before attention',
    'post_attention_layernorm': 'norm after attention',
    'pre_feedforward_layernorm': 'norm before the feed-forward',
    'post_feedforward_layernorm': 'norm after the feed-forward',
    'q_norm': 'query norm',
    'k_norm': 'key norm',
    'norm': 'final norm',
}

MISTAKES = {
    **{
        f'{label}: `1 + w` instead of `w`': {'gain': lambda name, w, wrong=wrong: w + (name == wrong)}
        for wrong, label in _norms.items()
    },
    'scores divided by √width, sliding layers': {'score_scale': lambda kind, d: 1 if kind == FULL else d**-0.5},
    'scores divided by √width, full layers': {'score_scale': lambda kind, d: d**-0.5 if kind == FULL else 1},
    'values of full layers taken after the key norm': {'full_value': lambda raw, normed, rotated: normed},
    'values of full layers taken after the rotation': {'full_value': lambda raw, normed, rotated: rotated},
    'no norm of the values, sliding layers': {'value_norm': _of(SLIDING, lambda k, v, e: v, RIGHT.value_norm)},
    'no norm of the values, full layers': {'value_norm': _of(FULL, lambda k, v, e: v, RIGHT.value_norm)},
    'full layers rotate the leading slice of the head': {'rotate': _leading_slice},
    'full layers: exponent of the rotation over the rotated width only': {'frequencies': _exponent_of_rotated_width},
    'full layers: number of rotated pairs rounded to the nearest': {
        'rotated_pairs': _of(FULL, lambda k, d, f: round(f * d / 2), RIGHT.rotated_pairs)
    },
    'full layers rotate all pairs': {'rotated_pairs': lambda kind, d, f: d // 2},
    'no `layer_scalar`': {'layer_end': lambda before, after, s: (after, after)},
    'only the update multiplied by `layer_scalar`': {
        'layer_end': lambda before, after, s: (before + (after - before) * s,) * 2
    },
    'hidden state kept before `layer_scalar`': {'layer_end': lambda before, after, s: (after * s, after)},
    'key head n mod heads, sliding layers': {'key_head': _of(SLIDING, lambda k, n, g, c: n % c, RIGHT.key_head)},
    'key head n mod heads, full layers': {'key_head': _of(FULL, lambda k, n, g, c: n % c, RIGHT.key_head)},
    'full layers use the first key head for all': {'key_head': _of(FULL, lambda k, n, g, c: 0, RIGHT.key_head)},
    'sliding window one token wider': {'window': _of(SLIDING, lambda k, w: w + 1, RIGHT.window)},
    'no sliding window': {'window': lambda kind, w: np.inf},
    'sliding window in full layers too': {'window': lambda kind, w: w},
    '√hidden not rounded to bfloat16': {'multiplier': sqrt},
    'GELU with erf instead of tanh': {'activation': lambda x: x * (1 + np.vectorize(erf)(x / sqrt(2))) / 2},
}


def effects(packed, captions, exact, stored, tolerance) -> list[Effect]:
    """@param tolerance the largest and the L2 tolerance of a tensor name."""
    ids = [list(map(int, exact[f'c{k}.ids'])) for k in range(len(captions))]
    measure = partial(_effect, packed, exact, stored, tolerance)
    found = [measure(mistake, ids, [0] * len(ids), replace(RIGHT, **rules)) for mistake, rules in MISTAKES.items()]
    bos = ids[0][0]
    literal = [caption.strip().startswith(packed.tokenizer_config['bos_token']) for caption in captions]
    found.append(measure('no BOS', [i[1:] for i in ids], [-1] * len(ids), RIGHT))
    doubled = [[bos, *i] if twice else i for i, twice in zip(ids, literal)]
    found.append(measure('a second BOS before a literal one', doubled, [int(twice) for twice in literal], RIGHT))
    return found


def _effect(packed, exact, stored, tolerance, mistake, ids, shifts, rules) -> Effect:
    """@param shifts how many tokens later the tokens of each caption are than they should be."""
    changes = []
    for k, shift in enumerate(shifts):
        if not ids[k]:
            continue
        rows = exact[f'c{k}.rows']
        kept = (rows + shift >= 0) & (rows + shift < len(ids[k]))
        for j, state in enumerate(tower.hidden_states(packed.text_config, packed.tower, ids[k], rules)):
            name = f'c{k}.hidden{j}'
            error = relative_error(state[rows[kept] + shift], stored[name][kept])
            changes.append((j, error[0], max(e / t for e, t in zip(error, tolerance(name)))))
    return Effect(
        mistake,
        min((j for j, _, factor in changes if factor > 1), default=-1),
        max(largest for _, largest, _ in changes),
        max(factor for *_, factor in changes),
    )
