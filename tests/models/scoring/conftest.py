"""Small models of each family with random weights, on a real tokenizer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from loomwork.core.artifact import Model
from loomwork.models.decoder import Decoder, load_decoder

SMALL = dict(vocab_size=512, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, initializer_range=0.3)
LLAMA = SMALL | dict(intermediate_size=80, num_key_value_heads=2, max_position_embeddings=1024)
CONFIGS = {
    "llama": ("LlamaForCausalLM", LLAMA | dict(attention_bias=True, mlp_bias=True)),
    "llama3-rope": (
        "LlamaForCausalLM",
        LLAMA
        | dict(
            tie_word_embeddings=True,
            rope_parameters=dict(
                rope_type="llama3", rope_theta=1e4, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
                original_max_position_embeddings=64,
            ),
        ),
    ),
    "mistral": ("MistralForCausalLM", LLAMA | dict(sliding_window=24)),
    "mistral-whole": ("MistralForCausalLM", LLAMA | dict(sliding_window=None, head_dim=20)),
    "qwen2": ("Qwen2ForCausalLM", LLAMA),
    "qwen2-windows": (
        "Qwen2ForCausalLM",
        LLAMA | dict(use_sliding_window=True, sliding_window=24, max_window_layers=1),
    ),
    "qwen3": ("Qwen3ForCausalLM", LLAMA | dict(head_dim=20)),
    "gpt2": ("GPT2LMHeadModel", SMALL | dict(n_positions=1024)),
    "gpt2-scaled": ("GPT2LMHeadModel", SMALL | dict(n_positions=1024, scale_attn_by_inverse_layer_idx=True)),
    "gpt_neox": (
        "GPTNeoXForCausalLM",
        SMALL | dict(intermediate_size=96, max_position_embeddings=1024, rotary_pct=0.25),
    ),
    "gpt_neox-serial": (
        "GPTNeoXForCausalLM",
        SMALL | dict(intermediate_size=96, max_position_embeddings=1024, use_parallel_residual=False),
    ),
    "bloom": ("BloomForCausalLM", SMALL | dict(n_head=4, n_layer=2)),
    "gemma2": ("Gemma2ForCausalLM", LLAMA | dict(head_dim=16, sliding_window=24)),
}  # fmt: skip
NOT_COVERED = {"bloom", "gemma2"}


@pytest.fixture(scope="session")
def stories(test_data) -> Decoder:
    return load_decoder(Model(test_data / "models" / "stories260K-hf"), threads=1)


@pytest.fixture(scope="session")
def tiny(stories) -> Callable[[str], Decoder]:
    """tiny("gpt2"): a model of CONFIGS on the tokenizer of stories260K."""
    import transformers

    made: dict[str, Decoder] = {}

    def make(name: str) -> Decoder:
        if name not in made:
            kind, settings = CONFIGS[name]
            torch.manual_seed(len(name))
            cls = getattr(transformers, kind)
            made[name] = Decoder(cls(cls.config_class(**settings)), stories.tokenizer)
        return made[name]

    return make


@pytest.fixture(scope="session")
def contexts(test_data) -> list[str]:
    """Real text, with prefixes in common: some questions after the same five examples, some without."""
    text = (test_data / "lm" / "tinyshakespeare.txt").read_text("utf-8")
    parts = [p for p in text.split("\n\n") if 40 < len(p) < 120][:40]
    shots = "\n\n".join(parts[:4])
    return [shots + "\n\n" + p for p in parts[4:9]] + parts[9:15]


ENDINGS = (" and so", " and so it is", " the king", ".", " my lord, I have not seen")
