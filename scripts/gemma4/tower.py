"""
Gemma 4's text tower in numpy and float64, written from its description and not from the library. `rules` can replace
single steps by mistakes, see mistakes.py.
"""
from dataclasses import dataclass
from math import floor, sqrt
from typing import Callable

import numpy as np

FULL = 'full_attention'


def bfloat16(value: float) -> float:
    """The nearest bfloat16, ties to even."""
    bits = int(np.float32(value).view(np.uint32))
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return float(np.uint32(bits).view(np.float32))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def rms_norm(x, epsilon):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon)


def frequencies(kind: str, width: int, theta: float, rotated: int) -> np.ndarray:
    """Radians per position of the width / 2 pairs: 0 for those not rotated. The exponent divides by the whole width."""
    pairs = np.arange(width // 2)
    return np.where(pairs < rotated, theta ** (-2 * pairs / width), 0)


def rotate(kind: str, x, positions, speeds):
    """Rotates the pairs (j, j + width / 2) of x [tokens, heads, width]."""
    angles = (positions[:, None] * speeds)[:, None, :]
    first, second = np.split(x, 2, axis=-1)
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


@dataclass
class Rules:
    """The steps that are easily done wrong."""

    multiplier: Callable = lambda hidden: bfloat16(sqrt(hidden))
    gain: Callable = lambda name, weight: weight
    score_scale: Callable = lambda kind, width: 1.0
    rotated_pairs: Callable = lambda kind, width, factor: floor(factor * width / 2) if kind == FULL else width // 2
    frequencies: Callable = frequencies
    rotate: Callable = rotate
    full_value: Callable = lambda raw, normed, rotated: raw
    value_norm: Callable = lambda kind, value, epsilon: rms_norm(value, epsilon)
    key_head: Callable = lambda kind, head, group, key_heads: head // group
    window: Callable = lambda kind, window: np.inf if kind == FULL else window
    activation: Callable = gelu_tanh
    layer_end: Callable = lambda before, after, scalar: (after * scalar, after * scalar)
    """The layer's output and the hidden state that is kept."""


RIGHT = Rules()


def hidden_states(config: dict, tensors: dict, ids: list[int], rules: Rules = RIGHT) -> list[np.ndarray]:
    weights = {name: array.astype(np.float64) for name, array in tensors.items()}
    h = weights['embed_tokens.weight'][ids] * rules.multiplier(config['hidden_size'])
    states = [h]
    for i, kind in enumerate(config['layer_types']):
        layer = _Layer(config, rules, kind, weights, f'layers.{i}.')
        attended = layer.attention(layer.norm(h, 'input_layernorm'))
        middle = h + layer.norm(attended, 'post_attention_layernorm')
        fed = layer.feed_forward(layer.norm(middle, 'pre_feedforward_layernorm'))
        after = middle + layer.norm(fed, 'post_feedforward_layernorm')
        h, kept = rules.layer_end(h, after, weights[f'layers.{i}.layer_scalar'])
        states.append(kept)
    return [*states[:-1], _Layer(config, rules, '', weights, '').norm(h, 'norm')]


@dataclass
class _Layer:
    config: dict
    rules: Rules
    kind: str
    weights: dict[str, np.ndarray]
    prefix: str

    def project(self, x, name):
        return x @ self.weights[f'{self.prefix}{name}.weight'].T

    def norm(self, x, name):
        gain = self.rules.gain(name.split('.')[-1], self.weights[f'{self.prefix}{name}.weight'])
        return rms_norm(x, self.config['rms_norm_eps']) * gain

    def feed_forward(self, x):
        gate = self.rules.activation(self.project(x, 'mlp.gate_proj'))
        return self.project(gate * self.project(x, 'mlp.up_proj'), 'mlp.down_proj')

    def attention(self, x):
        config, rules, kind = self.config, self.rules, self.kind
        heads, (width, key_heads) = config['num_attention_heads'], head_shape(config, kind)
        positions, speeds = np.arange(len(x)), pair_speeds(config, kind, rules)
        turn = lambda y: rules.rotate(kind, y, positions, speeds)
        split = lambda name, count: self.project(x, f'self_attn.{name}').reshape(-1, count, width)
        q = turn(self.norm(split('q_proj', heads), 'self_attn.q_norm'))
        raw = split('k_proj', key_heads)
        normed = self.norm(raw, 'self_attn.k_norm')
        k = turn(normed)
        same = kind == FULL and config['attention_k_eq_v']
        v = rules.full_value(raw, normed, k) if same else split('v_proj', key_heads)
        v = rules.value_norm(kind, v, config['rms_norm_eps'])
        distance = positions[:, None] - positions
        masked = (distance < 0) | (distance >= rules.window(kind, config['sliding_window']))
        outputs = []
        for head in range(heads):
            key_head = rules.key_head(kind, head, heads // key_heads, key_heads)
            scores = q[:, head] @ k[:, key_head].T * rules.score_scale(kind, width)
            scores[masked] = -np.inf
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            outputs.append(scores / scores.sum(axis=-1, keepdims=True) @ v[:, key_head])
        return self.project(np.concatenate(outputs, axis=-1), 'self_attn.o_proj')


def head_shape(config: dict, kind: str) -> tuple[int, int]:
    """Width of a head, and the number of key and value heads."""
    if kind == FULL:
        return config['global_head_dim'], config['num_global_key_value_heads']
    return config['head_dim'], config['num_key_value_heads']


def pair_speeds(config: dict, kind: str, rules: Rules = RIGHT) -> np.ndarray:
    width, _ = head_shape(config, kind)
    rope = config['rope_parameters'][kind]
    rotated = rules.rotated_pairs(kind, width, rope.get('partial_rotary_factor', 1))
    return rules.frequencies(kind, width, rope['rope_theta'], rotated)


def rope_tables(config: dict, kind: str, positions: np.ndarray) -> list[np.ndarray]:
    """cos and sin, each [positions, width / 2]."""
    angles = positions[:, None] * pair_speeds(config, kind)
    return [np.cos(angles), np.sin(angles)]
