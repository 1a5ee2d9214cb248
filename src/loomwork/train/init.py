"""Make a fresh model of a chosen size, with random weights."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge

from loomwork.core.artifact import Tokenizer
from loomwork.core.step import Card, step

HEAD_WIDTH = 64
Architecture = Literal["llama", "mistral", "qwen3", "gpt2", "gpt_neox", "bert", "bart"]


@step(makes="model", uses=["torch", "transformers", "tokenizers"], heavy=True)
def init(
    tokenizer: Tokenizer,
    *,
    architecture: Architecture = "llama",
    layers: Annotated[int, Ge(1)] = 4,
    context_tokens: Annotated[int, Ge(8)] = 256,
    seed: int = 0,
    out: Path,
) -> Card:
    """Make a model with random weights, by one dial of size: the width is 64 times the number of layers.

    Heads are 64 wide; the MLP is 8/3 of the width where it is gated and 4 times otherwise; input and output
    embeddings are tied. What each layer adds to the stream begins scaled by the depth, as in GPT-2.

    Args:
        tokenizer: such as train.tokenizer makes.
        architecture: of transformers; bert is an encoder, for train.pretrain_masked; bart an encoder and a decoder of
            so many layers each, for train.translate.
        layers: the dial.
        context_tokens: the most the model reads.
        seed: of the weights.

    Source: Touvron et al. 2023, arXiv:2302.13971 (Llama); Radford et al. 2019 (the scale of what layers add).
    """
    import torch
    import transformers
    from transformers import AutoTokenizer

    from loomwork.models.folder import About, save_about

    opened = AutoTokenizer.from_pretrained(tokenizer.path, local_files_only=True)
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    config = fresh_config(architecture, opened, layers, context_tokens)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        if architecture == "bert":
            model: Any = transformers.BertForMaskedLM(config)
        elif architecture == "bart":
            model = transformers.BartForConditionalGeneration(config)
        else:
            model = transformers.AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name.endswith(LAST_OF_A_BRANCH):
                    weight.mul_((2 * layers) ** -0.5)
    model.save_pretrained(out)
    for file in sorted(tokenizer.path.glob("*.json")):
        shutil.copyfile(file, out / file.name)
    task = {"bert": "embed", "bart": "translate"}.get(architecture, "generate")
    save_about(out, About(task, training_data=[], max_tokens=0 if task == "generate" else context_tokens))
    return Card(metrics={"parameters": float(sum(p.numel() for p in model.parameters()))})


LAST_OF_A_BRANCH = (  # whatever is added to the stream
    "self_attn.o_proj.weight",
    "mlp.down_proj.weight",
    "attn.c_proj.weight",
    "mlp.c_proj.weight",
    "attention.dense.weight",
    "mlp.dense_4h_to_h.weight",
)


def fresh_config(architecture: Architecture, tokenizer: Any, layers: int, context_tokens: int) -> Any:
    """The config of transformers for a model that `init` makes."""
    import transformers

    width = HEAD_WIDTH * layers
    gated = math.ceil(width * 8 / 3 / HEAD_WIDTH) * HEAD_WIDTH
    common: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    shape: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": layers,
        "max_position_embeddings": context_tokens,
    }
    match architecture:
        case "llama":
            return transformers.LlamaConfig(**common, **shape, intermediate_size=gated, num_key_value_heads=layers)
        case "mistral":
            config = shape | {"intermediate_size": gated, "num_key_value_heads": layers, "sliding_window": None}
            return transformers.MistralConfig(**common, **config)
        case "qwen3":
            config = shape | {"intermediate_size": gated, "num_key_value_heads": layers, "head_dim": HEAD_WIDTH}
            return transformers.Qwen3Config(**common, **config)
        case "gpt_neox":
            return transformers.GPTNeoXConfig(**common, **shape, intermediate_size=4 * width)
        case "gpt2":
            short: dict[str, Any] = {
                "n_embd": width,
                "n_layer": layers,
                "n_head": layers,
                "n_positions": context_tokens,
            }
            return transformers.GPT2Config(**common, **short)
        case "bert":
            return transformers.BertConfig(**common, **shape, intermediate_size=4 * width)
        case "bart":
            common |= {"decoder_start_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id or 0}
            sides: dict[str, Any] = {}
            for side in ("encoder", "decoder"):
                sides |= {f"{side}_layers": layers, f"{side}_attention_heads": layers, f"{side}_ffn_dim": 4 * width}
            return transformers.BartConfig(
                **common, **sides, d_model=width, max_position_embeddings=context_tokens, forced_eos_token_id=None
            )
