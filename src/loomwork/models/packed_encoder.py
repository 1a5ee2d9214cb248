"""BERT and RoBERTa without their padding: inside a model of transformers, the layers see real tokens only.

A batch of texts of unequal length is then one table for the heads and the caller, and none of it is computed in vain.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from loomwork.models.compiled import WARM_TEXTS, WARM_TOKENS, compiled, warm
from loomwork.models.flat import Flat, attend, lay_flat
from loomwork.models.kernels import EVEN, Spread, dropout
from loomwork.models.linear import linear

FAMILIES = ("BertModel", "RobertaModel", "XLMRobertaModel", "CamembertModel")
UNDERSTOOD = {"output_hidden_states", "return_dict", "use_cache"}  # of what a caller may ask beyond the tokens


def pack_encoder(model: Any) -> str:
    """Let the encoder in a model compute packed from now on. It reads its own modules, adapters of peft included.

    What it cannot do packed, such as states in place of token ids, goes through transformers' own forward pass. Not for
    peft's prompts: peft looks at the signature of the forward pass that it wraps.

    Args:
        model: of transformers, with an output layer or without.

    Returns: why it stays as it is, or "" if it does not.
    """
    base = model.base_model
    if type(base).__name__ not in FAMILIES:
        return f"{type(base).__name__} is not one of {', '.join(FAMILIES)}"
    if base.config.is_decoder or base.config.add_cross_attention:
        return "it is a decoder"
    base.forward = functools.partial(_forward, base)
    return ""


def use_compiler(model: Any, dtype: torch.dtype) -> str:
    """Compile the layers of a packed encoder (torch.compile) for training; returns why that cannot be, and then they
    stay as they are.

    Args:
        model: what `pack_encoder` was given, or peft's around it, on its device.
        dtype: of the matrix products, as of the autocast that the model will run in.
    """
    base = (model.get_base_model() if hasattr(model, "peft_config") else model).base_model
    device = base.device
    ids = torch.zeros(WARM_TEXTS, WARM_TOKENS, dtype=torch.long, device=device)
    training = model.training
    plain, base.forward = base.forward, functools.partial(_forward, base, compile_it=True)
    model.train()

    def loss() -> Tensor:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            states: Tensor = base(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        return states.float().sum()

    reason = warm(loss, [p for p in base.parameters() if p.requires_grad])
    model.train(training)
    if reason:
        base.forward = plain
    return reason


def is_packed(model: Any) -> bool:
    """Whether `pack_encoder` did it."""
    return any(isinstance(m.__dict__.get("forward"), functools.partial) for m in model.modules())


def _forward(
    base: Any,
    input_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
    compile_it: bool = False,
    **asked: Any,
) -> Any:
    from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

    beyond = {name for name, value in asked.items() if value is not None and value is not False} - UNDERSTOOD
    cells = None if input_ids is None or beyond else _cells(input_ids, attention_mask)
    if cells is None or asked.get("return_dict") is False or base.config.output_attentions:
        return type(base).forward(
            base, input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, **asked
        )
    assert input_ids is not None
    flat = lay_flat(cells, input_ids.device)  # of which the "tokens" are places in the table
    embedded = _embed(base.embeddings, flat.ids, input_ids, token_type_ids)
    x = F.pad(embedded, (0, 0, 0, -len(embedded) % EVEN))
    states = [x]
    for layer in base.encoder.layer:
        again = layer.gradient_checkpointing and layer.training and torch.is_grad_enabled()
        given = layer, x, flat, compile_it
        x = checkpoint(_layer, *given, use_reentrant=False) if again else _layer(*given)
        states.append(x)
    there = torch.zeros(input_ids.numel(), dtype=torch.long, device=x.device)
    there[flat.ids] = torch.arange(len(flat.ids), device=x.device)

    def table(x: Tensor) -> Tensor:
        """(tokens and filling, width) -> (texts, time, width); what stands in empty cells means nothing."""
        rows: Tensor = Spread.apply(x[: len(flat.ids)], there, flat.ids, None)  # type: ignore[no-untyped-call]
        return rows.view(*input_ids.shape, -1)

    wanted = asked.get("output_hidden_states") or base.config.output_hidden_states
    last = table(states[-1])
    return BaseModelOutputWithPoolingAndCrossAttentions(
        last_hidden_state=last,
        pooler_output=None if base.pooler is None else base.pooler(last),
        hidden_states=(*map(table, states[:-1]), last) if wanted else None,
    )


def _cells(ids: Tensor, seen: Tensor | None) -> list[np.ndarray] | None:
    """The places of each text's tokens in the table, or None where it is not padded on the right alone."""
    texts, time = ids.shape
    if seen is None:
        lengths = np.full(texts, time)
    elif seen.ndim != 2:
        return None
    else:
        real = seen.cpu().numpy() != 0
        lengths = real.sum(1)
        if not lengths.all() or not np.array_equal(real, np.arange(time) < lengths[:, None]):
            return None
    return [np.arange(text * time, text * time + length) for text, length in enumerate(lengths)]


def _embed(embeddings: Any, places: Tensor, ids: Tensor, types: Tensor | None) -> Tensor:
    """The states that go into the first layer. (tokens, width)"""
    if hasattr(embeddings, "create_position_ids_from_input_ids"):  # RoBERTa's begin behind the padding's
        positions = embeddings.create_position_ids_from_input_ids(ids, embeddings.padding_idx).reshape(-1)[places]
    else:
        positions = places % ids.shape[1]
    taken = torch.zeros_like(places) if types is None else types.reshape(-1)[places]
    chosen = ids.reshape(-1)[places]
    states: Tensor = embeddings(input_ids=chosen[None], token_type_ids=taken[None], position_ids=positions[None])[0]
    return states


def _layer(layer: Any, x: Tensor, flat: Flat, compile_it: bool) -> Tensor:
    """One layer on states (tokens and filling, width), which stay in their dtype as autocast would have it."""
    kind, attention = x.device.type, layer.attention.self
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    faster = compile_it and torch.is_grad_enabled()
    before, after = (compiled(_before), compiled(_after)) if faster else (_before, _after)
    q, k, v = before(attention, x, dtype)
    dropped = _share(attention.dropout)
    if faster and kind != "cpu" and not dropped:
        from loomwork.models.packed_attention import attend_packed

        mixed = attend_packed(q, k, v, flat, attention.scaling, causal=False)
    else:
        mixed = attend(q, k, v, flat, attention.scaling, causal=False, dropout=dropped)
    found: Tensor = after(layer, x, mixed)
    return found


def _before(attention: Any, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    rows = x.to(dtype)
    heads = attention.num_attention_heads
    q, k, v = (linear(m, rows).view(len(rows), heads, -1) for m in (attention.query, attention.key, attention.value))
    return q, k, v


def _after(layer: Any, x: Tensor, mixed: Tensor) -> Tensor:
    mixer = layer.attention.output
    x = mixer.LayerNorm(x + dropout(linear(mixer.dense, mixed), _share(mixer.dropout)))
    inner = layer.intermediate.intermediate_act_fn(linear(layer.intermediate.dense, x.to(mixed.dtype)))
    added = dropout(linear(layer.output.dense, inner), _share(layer.output.dropout))
    found: Tensor = layer.output.LayerNorm(x + added)
    return found


def _share(module: Any) -> float:
    return float(module.p) if module.training else 0.0
