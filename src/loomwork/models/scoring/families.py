"""The parts of transformers' decoders that the packed forward pass puts together anew, by architecture.

Weights are not copied: the functions made here read the model's own modules. A family is listed once a test has shown
that its log-probabilities equal those of transformers' own forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Block:
    """One layer, of functions on rows of states (tokens, width).

    Args:
        attention_norm, mlp_norm: before attention and before the MLP.
        qkv: queries (tokens, heads, head width), keys and values (tokens, key heads, head width), not yet rotated.
        out: of the mixed values (tokens, heads * head width).
        mlp: the whole of it.
        parallel: attention and MLP read the same states, and both are added.
        scale: of the products of queries and keys.
        window: how many tokens back attention reaches, the token itself included; 0 for all.
    """

    attention_norm: Map
    qkv: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
    out: Map
    mlp_norm: Map
    mlp: Map
    parallel: bool
    scale: float
    window: int

    def joined(self, x: Tensor, attended: Tensor) -> Tensor:
        """The states after the layer, from those before it and from what its attention gives."""
        if self.parallel:
            return self.mlp(self.mlp_norm(x)).add_(attended).add_(x)
        x = attended.add_(x)
        return self.mlp(self.mlp_norm(x)).add_(x)


@dataclass(frozen=True)
class Parts:
    """A whole decoder.

    Args:
        embed: states of token ids and their positions, both (tokens).
        blocks: its layers.
        norm: after the last.
        head: (vocabulary, width).
        rotary: transformers' module that gives cosines and sines of positions, or None.
        pairs_per_token: how many query-key pairs of attention cost as much as all else does for one token.
    """

    embed: Callable[[Tensor, Tensor], Tensor]
    blocks: list[Block]
    norm: Map
    head: Tensor
    rotary: Any
    pairs_per_token: float


def not_covered(model: Any) -> str:
    """Why transformers' own forward pass must run this model, or "" if the packed one can."""
    config = model.config
    family = FAMILIES.get(config.model_type)
    if family is None or type(model).__name__ != family[0]:
        return f"{type(model).__name__} ({config.model_type}) is not one of {', '.join(FAMILIES)}"
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rope in ("dynamic", "longrope"):
        return f"its rotary embedding {rope!r} depends on how long the text is"
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or head.bias is not None or not head.weight.is_floating_point():
        return f"its output layer is {type(head).__name__}, not a plain linear one"
    if config.model_type == "gpt2" and config.add_cross_attention:
        return "it has cross-attention"
    return ""


def parts_of(model: Any) -> Parts:
    """The parts of a model of which `not_covered` is empty."""
    return FAMILIES[model.config.model_type][1](model)


def _pairs_per_token(model: Any) -> float:
    """A token costs two operations a weight; a pair costs four a number of the queries, in each layer."""
    config = model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    weights = sum(p.numel() for p in model.base_model.parameters()) - model.get_input_embeddings().weight.numel()
    return float(max(1.0, weights / (2 * config.num_hidden_layers * config.num_attention_heads * width)))


def _rms_norm(module: Any) -> Map:
    def norm(x: Tensor) -> Tensor:
        # in place where it can be: torch's rms_norm takes twice as long on a CPU (2.6 and 1.3 ms, 2048 x 512)
        size = torch.rsqrt(x.square().mean(-1, keepdim=True).add_(module.variance_epsilon))
        return (x * size).mul_(module.weight)

    return norm


def _llama(model: Any) -> Parts:
    """Llama, Mistral, Qwen2 and Qwen3 differ in biases, norms of queries and keys, and windows."""
    inner, config = model.model, model.config

    def block(layer: Any) -> Block:
        attention, mlp = layer.self_attn, layer.mlp
        width = attention.head_dim
        norms = [_rms_norm(getattr(attention, n)) if hasattr(attention, n) else None for n in ("q_norm", "k_norm")]

        def qkv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            q, k, v = (p(x).view(len(x), -1, width) for p in (attention.q_proj, attention.k_proj, attention.v_proj))
            return norms[0](q) if norms[0] else q, norms[1](k) if norms[1] else k, v

        def gated(x: Tensor) -> Tensor:
            found: Tensor = mlp.down_proj(mlp.act_fn(mlp.gate_proj(x)).mul_(mlp.up_proj(x)))
            return found

        # Qwen says it layer by layer, Mistral for all; Llama has none
        window = attention.sliding_window if hasattr(attention, "sliding_window") else _window(config)
        return Block(
            _rms_norm(layer.input_layernorm),
            qkv,
            attention.o_proj,
            _rms_norm(layer.post_attention_layernorm),
            gated,
            False,
            attention.scaling,
            window or 0,
        )

    return Parts(
        lambda ids, positions: F.embedding(ids, inner.embed_tokens.weight),
        [block(layer) for layer in inner.layers],
        _rms_norm(inner.norm),
        model.lm_head.weight,
        inner.rotary_emb,
        _pairs_per_token(model),
    )


def _window(config: Any) -> int | None:
    return config.sliding_window if config.model_type == "mistral" else None


def _gpt2(model: Any) -> Parts:
    inner = model.transformer

    def block(layer: Any) -> Block:
        attention = layer.attn

        def qkv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            q, k, v = attention.c_attn(x).view(len(x), 3, attention.num_heads, attention.head_dim).unbind(1)
            return q, k, v

        return Block(layer.ln_1, qkv, attention.c_proj, layer.ln_2, layer.mlp, False, attention.scaling, 0)

    def embed(ids: Tensor, positions: Tensor) -> Tensor:
        return F.embedding(ids, inner.wte.weight) + F.embedding(positions, inner.wpe.weight)

    blocks = [block(layer) for layer in inner.h]
    return Parts(embed, blocks, inner.ln_f, model.lm_head.weight, None, _pairs_per_token(model))


def _gpt_neox(model: Any) -> Parts:
    inner = model.gpt_neox

    def block(layer: Any) -> Block:
        attention = layer.attention

        def qkv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            q, k, v = attention.query_key_value(x).view(len(x), -1, 3 * attention.head_size).chunk(3, -1)
            return q, k, v

        return Block(
            layer.input_layernorm,
            qkv,
            attention.dense,
            layer.post_attention_layernorm,
            layer.mlp,
            layer.use_parallel_residual,
            attention.scaling,
            0,
        )

    return Parts(
        lambda ids, positions: F.embedding(ids, inner.embed_in.weight),
        [block(layer) for layer in inner.layers],
        inner.final_layer_norm,
        model.get_output_embeddings().weight,
        inner.rotary_emb,
        _pairs_per_token(model),
    )


FAMILIES: dict[str, tuple[str, Callable[[Any], Parts]]] = {
    "llama": ("LlamaForCausalLM", _llama),
    "mistral": ("MistralForCausalLM", _llama),
    "qwen2": ("Qwen2ForCausalLM", _llama),
    "qwen3": ("Qwen3ForCausalLM", _llama),
    "gpt2": ("GPT2LMHeadModel", _gpt2),
    "gpt_neox": ("GPTNeoXForCausalLM", _gpt_neox),
}
