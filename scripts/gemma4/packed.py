"""The packed text-encoder file: language model, tokenizer and projection in one safetensors file."""
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

BYTES = {'U8': 1, 'BF16': 2, 'F32': 4, 'I32': 4}
TOWER_PREFIX = 'model.'


@dataclass
class Packed:
    gemma_config: dict
    tower: dict[str, np.ndarray]
    """The language model's tensors widened to float32, without `model.`."""
    tokenizer_json: str
    tokenizer_config: dict

    @property
    def text_config(self) -> dict:
        return self.gemma_config['text_config']


def read_packed(path: Path) -> Packed:
    with safe_open(path, 'pt') as file:
        tower = {
            name.removeprefix(TOWER_PREFIX): file.get_tensor(name).float().numpy()
            for name in file.keys()
            if name.startswith(TOWER_PREFIX)
        }
        text = lambda name: file.get_tensor(name).numpy().tobytes().decode()
        config = json.loads(file.metadata()['gemma_config'])
        return Packed(config, tower, text('tokenizer_json'), json.loads(text('hf_asset__tokenizer_config.json')))


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    with safe_open(path, 'np') as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def write_tensors(path: Path, tensors: dict[str, tuple[str, np.ndarray]], metadata: dict[str, str]) -> None:
    """Writes a safetensors file; arrays of dtype BF16 are rounded. (The library's writer orders metadata at random.)"""
    header, data = {'__metadata__': metadata}, bytearray()
    for name in sorted(tensors, key=lambda name: (-BYTES[tensors[name][0]], name)):
        dtype, array = tensors[name]
        content = (to_bfloat16(array) if dtype == 'BF16' else array).tobytes()
        assert len(content) == array.size * BYTES[dtype], name
        offsets = [len(data), len(data) + len(content)]
        header[name] = {'dtype': dtype, 'shape': list(array.shape), 'data_offsets': offsets}
        data += content
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, 'little') + text + data)


def to_bfloat16(array: np.ndarray) -> np.ndarray:
    return torch.from_numpy(np.asarray(array, dtype=np.float32)).bfloat16().view(torch.uint16).numpy()
