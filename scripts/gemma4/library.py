"""What transformers and tokenizers compute from a packed text encoder."""
from importlib.metadata import version

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers.models.gemma4_unified.configuration_gemma4_unified import Gemma4UnifiedConfig
from transformers.models.gemma4_unified.modeling_gemma4_unified import Gemma4UnifiedTextModel

from .errors import relative_error
from .packed import Packed

CONTEXT_LENGTH = 1024

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
torch.set_grad_enabled(False)


def versions() -> str:
    torch_version = version('torch').split('+')[0]
    return f'transformers {version("transformers")} (gemma4_unified), torch {torch_version}, CPU, float32'


def token_ids(packed: Packed, caption: str) -> list[int]:
    """The tokenizer adds no BOS: it is prepended unless the caption begins with its literal."""
    tokenizer = Tokenizer.from_str(packed.tokenizer_json)
    bos = tokenizer.token_to_id(packed.tokenizer_config['bos_token'])
    ids = tokenizer.encode(caption.strip(), add_special_tokens=True).ids[:CONTEXT_LENGTH]
    return (ids if ids[:1] == [bos] else [bos, *ids])[:CONTEXT_LENGTH]


def load_tower(packed: Packed) -> Gemma4UnifiedTextModel:
    """The library's text model with the file's BF16 weights widened to float32."""
    config = Gemma4UnifiedConfig.from_dict(packed.gemma_config).text_config
    config._attn_implementation = 'eager'
    model = Gemma4UnifiedTextModel(config).float().eval()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in packed.tower.items()}, strict=True)
    # The library rounds sqrt(hidden) to the dtype of the embeddings: float32 here, but LTX runs the tower in bfloat16.
    model.embed_tokens.embed_scale.copy_(model.embed_tokens.embed_scale.bfloat16())
    return model


def hidden_states(model: Gemma4UnifiedTextModel, ids: list[int]) -> list[np.ndarray]:
    """The scaled embeddings and the outputs of the layers, the last after the final norm: each [tokens, hidden]."""
    output = model(input_ids=torch.tensor([ids]), output_hidden_states=True, use_cache=False)
    states = output.hidden_states
    assert len(states) == len(model.layers) + 1
    assert torch.equal(states[0], model.embed_tokens(torch.tensor([ids])))
    assert torch.equal(states[-1], output.last_hidden_state)
    assert torch.equal(states[-1], model.norm(_output_of_last_layer(model, ids)))
    return [state[0].numpy() for state in states]


def _output_of_last_layer(model, ids):
    outputs = []
    handle = model.layers[-1].register_forward_hook(lambda module, arguments, output: outputs.append(output))
    model(input_ids=torch.tensor([ids]), use_cache=False)
    handle.remove()
    return outputs[0]


def padding_error(model: Gemma4UnifiedTextModel, packed: Packed, ids: list[int], expected: np.ndarray) -> float:
    """How far left padding to the context length, which positions count, moves the last hidden states."""
    padding = CONTEXT_LENGTH - len(ids)
    pad = Tokenizer.from_str(packed.tokenizer_json).token_to_id(packed.tokenizer_config['pad_token'])
    mask = torch.tensor([[0] * padding + [1] * len(ids)])
    positions = torch.arange(CONTEXT_LENGTH)[None]
    padded_ids = torch.tensor([[pad] * padding + ids])
    padded = model(input_ids=padded_ids, attention_mask=mask, position_ids=positions, use_cache=False)
    return relative_error(padded.last_hidden_state[0, padding:].numpy(), expected)[0]


def rope_tables(model: Gemma4UnifiedTextModel, kind: str, positions: np.ndarray) -> list[np.ndarray]:
    """cos and sin, each [positions, width / 2]. The library's second half repeats the first."""
    tables = model.rotary_emb(torch.zeros(1), torch.from_numpy(positions)[None].long(), kind)
    halves = [table[0].numpy() for table in tables]
    for table in halves:
        assert np.array_equal(*np.split(table, 2, axis=-1))
    return [np.ascontiguousarray(np.split(table, 2, axis=-1)[0]) for table in halves]
