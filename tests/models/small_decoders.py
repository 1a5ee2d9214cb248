"""Small random decoders of each covered family, far from the uniform distribution, and texts for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers

VOCABULARY = 97
LLAMA_LIKE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "attn_implementation": "eager",
}
NEOX: dict[str, Any] = {n: v for n, v in LLAMA_LIKE.items() if n != "num_key_value_heads"}
GPT2: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "n_embd": 48,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 512,
    "initializer_range": 0.2,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "attn_implementation": "eager",
}
WINDOWED = {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", LLAMA_LIKE),
    "llama, a head each, untied": ("Llama", LLAMA_LIKE | {"num_key_value_heads": 4, "tie_word_embeddings": False}),
    "llama, tied, with biases": (
        "Llama",
        LLAMA_LIKE | {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "head_dim": 16},
    ),
    "llama, tied, scaled positions": (
        "Llama",
        LLAMA_LIKE
        | {
            "tie_word_embeddings": True,
            "num_key_value_heads": 1,
            "hidden_act": "gelu",
            "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4},
        },
    ),
    "mistral, windowed": ("Mistral", LLAMA_LIKE | {"sliding_window": 7}),
    "mistral, tied": ("Mistral", LLAMA_LIKE | {"sliding_window": None, "tie_word_embeddings": True}),
    "qwen2": ("Qwen2", LLAMA_LIKE | {"tie_word_embeddings": True}),
    "qwen2, windowed": ("Qwen2", LLAMA_LIKE | WINDOWED),
    "qwen3": ("Qwen3", LLAMA_LIKE | {"head_dim": 16}),
    "qwen3, windowed, tied": ("Qwen3", LLAMA_LIKE | WINDOWED | {"head_dim": 16, "tie_word_embeddings": True}),
    "gpt2": ("GPT2", GPT2),
    "gpt2, untied, other scales": (
        "GPT2",
        GPT2 | {"tie_word_embeddings": False, "scale_attn_by_inverse_layer_idx": True, "scale_attn_weights": False},
    ),
    "gpt_neox": ("GPTNeoX", NEOX | {"tie_word_embeddings": False}),
    "gpt_neox, in series, tied": (
        "GPTNeoX",
        NEOX | {"use_parallel_residual": False, "tie_word_embeddings": True, "attention_bias": False},
    ),
}


def small(name: str = "llama", **changes: Any) -> Any:
    """A random model of a family, biases and norms too."""
    family, settings = FAMILIES[name]
    settings = settings | {"tie_word_embeddings": settings.get("tie_word_embeddings", family == "GPT2")} | changes
    config = getattr(transformers, f"{family}Config")(**settings)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def texts_of(*lengths: int, seed: int = 1, vocabulary: int = VOCABULARY) -> list[np.ndarray]:
    """Random texts."""
    draw = np.random.default_rng(seed)
    return [draw.integers(0, vocabulary, n) for n in lengths]


def next_tokens(texts: list[np.ndarray], order: list[int], ignored: int) -> torch.Tensor:
    """Of each token of a layout the next one; `ignored` at each text's end. (tokens)"""
    rows = [np.append(texts[i][1:], ignored) for i in order]
    return torch.from_numpy(np.concatenate(rows))


def loss_alone(model: Any, texts: list[np.ndarray]) -> torch.Tensor:
    """The mean over all targets by transformers' own forward pass, each text alone."""
    ids = [torch.from_numpy(t)[None] for t in texts if len(t) > 1]
    losses = [model(input_ids=t, labels=t).loss * (t.shape[1] - 1) for t in ids]
    return sum(losses) / sum(t.shape[1] - 1 for t in ids)  # type: ignore[return-value]
