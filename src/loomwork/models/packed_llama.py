"""A Llama forward pass for training on packed rows: same numbers as transformers' LlamaForCausalLM, in less time.

Many short texts lie one after another in rows of one length. Attention stays inside each text and positions begin
again at each, so a text's loss does not depend on its neighbours. The gains: hardly any padding; bfloat16 products
with float32 weights, sums and residual stream; q, k, v and gate, up as one product each; and logits that exist for
one chunk of rows at a time, because their gradient is made together with the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

CHUNK_ROWS = 512  # rows of logits that are held at once: few enough for the cache of a core (12 % of a step)
IGNORED = -100  # the target of a position that is not scored, as in transformers


@dataclass(frozen=True)
class PackedRows:
    """Rows of packed texts; all fields are (rows, time) integers.

    Args:
        ids: tokens, 0 where nothing is left to fill a row.
        positions: of each token in its text, from 0.
        texts: which text of the row a token is of, from 0; -1 for filling.
        targets: the next token of the same text; IGNORED at a text's last token and for filling.
    """

    ids: Tensor
    positions: Tensor
    texts: Tensor
    targets: Tensor


def pack_rows(rows: list[list[Any]], time: int) -> PackedRows:
    """Lay texts into rows.

    Args:
        rows: for each row its texts, each a sequence of token ids; together at most `time` tokens.
        time: the length of a row.
    """
    shape = (len(rows), time)
    ids, positions = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    texts, targets = torch.full(shape, -1), torch.full(shape, IGNORED)
    for r, row in enumerate(rows):
        at = 0
        for number, text in enumerate(row):
            tokens = torch.as_tensor(text, dtype=torch.long)
            end = at + len(tokens)
            ids[r, at:end], texts[r, at:end] = tokens, number
            positions[r, at:end] = torch.arange(len(tokens))
            targets[r, at : end - 1] = tokens[1:]
            at = end
    return PackedRows(ids, positions, texts, targets)


def not_covered(config: Any) -> str:
    """Why a model of this configuration cannot be trained here, or "" if it can."""
    if config.model_type != "llama":
        return f"its architecture is {config.model_type!r}, not 'llama'"
    rope = (config.rope_parameters or {}).get("rope_type", "default")
    wanted: dict[str, tuple[Any, Any]] = {
        "rope_type": (rope, "default"),
        "hidden_act": (config.hidden_act, "silu"),
        "attention_bias": (config.attention_bias, False),
        "mlp_bias": (config.mlp_bias, False),
        "attention_dropout": (config.attention_dropout, 0.0),
    }
    return ", ".join(f"its {name} is {is_!r}, not {must!r}" for name, (is_, must) in wanted.items() if is_ != must)


class PackedLlama(nn.Module):
    """The weights of a LlamaForCausalLM, kept in float32, with a loss on packed rows.

    Args:
        model: a transformers LlamaForCausalLM, of which `not_covered(model.config)` is empty; its weights are copied.
        precision: of the matrix products, torch.float32 or torch.bfloat16.
    """

    def __init__(self, model: Any, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        if reason := not_covered(model.config):
            raise ValueError(f"PackedLlama does not cover this model: {reason}")
        self.config, self.precision = model.config, precision
        self.heads, self.kv_heads = model.config.num_attention_heads, model.config.num_key_value_heads
        self.embedding = _copy(model.model.embed_tokens.weight)  # (vocab, width)
        self.head = None if model.config.tie_word_embeddings else _copy(model.lm_head.weight)
        self.norm = _copy(model.model.norm.weight)
        self.layers = nn.ModuleList(_Layer(layer) for layer in model.model.layers)
        frequencies = model.model.rotary_emb.inv_freq.float()
        angles = torch.outer(torch.arange(model.config.max_position_embeddings).float(), frequencies)
        self.cos: Tensor  # (context, head width / 2)
        self.sin: Tensor
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, rows: PackedRows) -> Tensor:
        """The mean cross-entropy (nats) over all targets of the rows."""
        batch, time = rows.ids.shape
        cos, sin = (table[rows.positions].to(self.precision)[:, :, None] for table in (self.cos, self.sin))
        mask = attention_mask(rows.texts)
        x = F.embedding(rows.ids, self.embedding)  # (batch, time, width)
        for layer in self.layers:
            x = x + self._attention(layer, x, cos, sin, mask)
            x = x + self._mlp(layer, x)
        x = self._normed(x, self.norm).view(batch * time, -1)
        head = self.embedding if self.head is None else self.head
        loss: Tensor = LinearCrossEntropy.apply(x, head.to(self.precision), rows.targets.view(-1))  # type: ignore[no-untyped-call]
        return loss

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), weight, self.config.rms_norm_eps).to(self.precision)

    def _attention(self, layer: Any, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        batch, time, _ = x.shape
        qkv = F.linear(self._normed(x, layer.attention_norm), layer.qkv.to(self.precision))
        qkv = qkv.view(batch, time, self.heads + 2 * self.kv_heads, -1)  # (batch, time, heads, head width)
        rotated, values = torch.split(qkv, [self.heads + self.kv_heads, self.kv_heads], 2)
        rotated = Rotation.apply(rotated, cos, sin)  # type: ignore[no-untyped-call]
        q, k = torch.split(rotated, [self.heads, self.kv_heads], 2)
        q, k, v = (part.transpose(1, 2) for part in (q, k, values))  # (batch, heads, time, head width)
        mixed = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=self.heads != self.kv_heads)
        return F.linear(mixed.transpose(1, 2).flatten(2), layer.out.to(self.precision))

    def _mlp(self, layer: Any, x: Tensor) -> Tensor:
        gate, up = F.linear(self._normed(x, layer.mlp_norm), layer.gate_up.to(self.precision)).chunk(2, -1)
        return F.linear(F.silu(gate) * up, layer.down.to(self.precision))

    def to_transformers(self) -> Any:
        """A LlamaForCausalLM with these weights, in float32."""
        from transformers import LlamaForCausalLM

        # The structure only: the weights that it begins with are all replaced.
        with torch.random.fork_rng([]):
            model: Any = LlamaForCausalLM(self.config)
        state = {"model.embed_tokens.weight": self.embedding, "model.norm.weight": self.norm}
        state["lm_head.weight"] = self.embedding if self.head is None else self.head
        for number in range(len(self.layers)):
            layer: Any = self.layers[number]
            state |= {f"model.layers.{number}.{name}": w for name, w in layer.to_transformers(self).items()}
        model.float().load_state_dict(state)
        return model


class _Layer(nn.Module):
    """One layer's weights, those that read the same input joined."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.attention_norm = _copy(layer.input_layernorm.weight)
        self.qkv = _copy(attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight)
        self.out = _copy(attention.o_proj.weight)
        self.mlp_norm = _copy(layer.post_attention_layernorm.weight)
        self.gate_up = _copy(mlp.gate_proj.weight, mlp.up_proj.weight)
        self.down = _copy(mlp.down_proj.weight)

    def to_transformers(self, model: PackedLlama) -> dict[str, Tensor]:
        width = self.qkv.shape[0] // (model.heads + 2 * model.kv_heads)
        q, k, v = torch.split(self.qkv, [model.heads * width, model.kv_heads * width, model.kv_heads * width])
        gate, up = self.gate_up.chunk(2)
        return {
            "input_layernorm.weight": self.attention_norm,
            "self_attn.q_proj.weight": q,
            "self_attn.k_proj.weight": k,
            "self_attn.v_proj.weight": v,
            "self_attn.o_proj.weight": self.out,
            "post_attention_layernorm.weight": self.mlp_norm,
            "mlp.gate_proj.weight": gate,
            "mlp.up_proj.weight": up,
            "mlp.down_proj.weight": self.down,
        }


def _copy(*weights: Tensor) -> nn.Parameter:
    return nn.Parameter(torch.cat([w.detach() for w in weights]).float())


def attention_mask(texts: Tensor) -> Tensor:
    """True where a query may look: at its own text, up to itself. (batch, 1, time, time)

    Args:
        texts: as in PackedRows. Filling looks at filling, so that no row of the mask is empty.
    """
    time = texts.shape[1]
    same = texts[:, :, None] == texts[:, None, :]
    return (same & torch.ones(time, time, dtype=torch.bool, device=texts.device).tril())[:, None]


class Rotation(Function):
    """Rotary position embedding, halves paired as transformers does. Its gradient is the rotation back.

    Source: Su et al. 2021, arXiv:2104.09864.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotated(x, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotated(gradient, cos, sin, -1), None, None


def _rotated(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    a, b = x.chunk(2, -1)  # (batch, time, heads, head width / 2)
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    first, second = out.chunk(2, -1)
    torch.mul(a, cos, out=first).addcmul_(b, sin, value=-sign)
    torch.mul(b, cos, out=second).addcmul_(a, sin, value=sign)
    return out


class LinearCrossEntropy(Function):
    """Mean cross-entropy of x @ weight.T; the gradient is made in the forward pass, chunk by chunk.

    x is (rows, width), weight (vocab, width), targets (rows,) with IGNORED where a row is not scored.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        scored = targets != IGNORED
        share = scored.float() / scored.sum().clamp(min=1)  # (rows,)
        targets = targets.clamp(min=0)[:, None]
        total = torch.zeros((), dtype=torch.float32, device=x.device)
        x_gradient = torch.empty_like(x)
        weight_gradient = torch.zeros(weight.shape, dtype=torch.float32, device=x.device)
        for at in range(0, len(x), CHUNK_ROWS):
            piece = slice(at, at + CHUNK_ROWS)
            log_p = F.log_softmax((x[piece] @ weight.T).float(), -1)  # (chunk, vocab)
            part = share[piece, None]
            total -= (log_p.gather(1, targets[piece]) * part).sum()
            gradient = log_p.exp_().mul_(part)
            gradient.scatter_add_(1, targets[piece], -part)
            gradient = gradient.to(x.dtype)
            x_gradient[piece] = gradient @ weight
            weight_gradient += gradient.T @ x[piece]
        ctx.save_for_backward(x_gradient, weight_gradient)
        ctx.dtype = weight.dtype
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x_gradient, weight_gradient = ctx.saved_tensors
        return x_gradient * gradient.to(x_gradient.dtype), (weight_gradient * gradient).to(ctx.dtype), None
