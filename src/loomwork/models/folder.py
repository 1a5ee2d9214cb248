"""A model folder: the files of Hugging Face, plus `loomwork.json`, which says how to use them and where they are from.

Weights are safetensors only: nothing that could run code is read or written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loomwork.core.artifact import Model, link_or_copy
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import torch

ABOUT = "loomwork.json"
WEIGHTS = "model.safetensors"
READ_ME = "README.md"  # the model card of whoever published it
TOKENIZER = (  # the files of one; the first it cannot do without
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
# What a model needs beside its weights.
BESIDE = ("config.json", "generation_config.json", *TOKENIZER, READ_ME, "LICENSE", "NOTICE")
CAUSAL = ("ForCausalLM", "LMHeadModel")  # ends of the names of architectures
ADAPTER = "adapter"  # the folder, inside of a model's, of what peft trained
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
READ = ("1_Pooling/config.json", "sentence_bert_config.json")  # read by `guess_about`, and not needed after it


@dataclass(frozen=True)
class About:
    """What `loomwork.json` holds.

    Args:
        task: "embed", "generate", "classify", "tag", "answer" or "translate".
        engine: the module of loomwork.models.engines that runs it.
        pooling: of an encoder, how token states become one vector: "mean" or "cls".
        normalised: of an encoder, whether its vectors have length 1.
        max_tokens: how much of a text it reads; 0 where config.json alone decides.
        licence: an SPDX name, or "".
        training_data: what others trained it on, as they declare; None is unknown, [] is nothing.
        trained_on: what we trained it on after that: for each dataset its digest and the columns that were learned.
        origin: where it is from: package, folder name, or the hub's id and commit; and the sha256 of its weights.
        training: the settings of the training that made it, by us.
        quantization: scheme and its parameters, where weights are not floats; see compress/quantize.py.
        endpoint: of the engine "http", where the model answers; see models/engines/http.py.
    """

    task: str
    engine: str = "torch"
    pooling: str = "mean"
    normalised: bool = True
    max_tokens: int = 0
    licence: str = ""
    training_data: list[str] | None = None
    trained_on: list[dict[str, Any]] = field(default_factory=list)
    origin: dict[str, str] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    quantization: dict[str, Any] = field(default_factory=dict)
    endpoint: dict[str, Any] = field(default_factory=dict)


def taught(about: About, data: Dataset, *columns: str) -> list[dict[str, Any]]:
    """What a model is `trained_on` after it has learned these columns of a dataset too."""
    return [*about.trained_on, {"dataset": data.digest, "columns": list(columns)}]


def read_about(model: Model) -> About:
    """What is known of a model. A plain Hugging Face folder, without `loomwork.json`, will do too.

    Raises:
        InputError: `loomwork.json` has a field that this version does not know.
    """
    if not (model.path / ABOUT).is_file():
        return guess_about(model.path)
    values = model.read_json(ABOUT)
    known = [f.name for f in fields(About)]
    for name in values:
        if name not in known:
            raise InputError(f"{model.path / ABOUT} has an unknown field {name!r}", did_you_mean(name, known))
    return About(**values)


def guess_about(folder: Path) -> About:
    """What a Hugging Face (or sentence-transformers) folder says of itself in its own files."""
    config = _json(folder / "config.json")
    generates = any(name.endswith(CAUSAL) for name in config.get("architectures") or [])
    if generates or config.get("is_encoder_decoder"):
        task = "translate" if config.get("is_encoder_decoder") else "generate"
        return About(task, licence=_front_matter(folder).get("license", ""), training_data=_declared(folder))
    cls = _json(folder / READ[0]).get("pooling_mode_cls_token", False)
    limits = [  # sentence-transformers sets its own in place of the tokenizer's
        _json(folder / READ[1]).get("max_seq_length"),
        _json(folder / "tokenizer_config.json").get("model_max_length"),
    ]
    said = next((int(n) for n in limits if n and n < 1 << 20), NO_LIMIT)
    most = min(said, positions(config))
    return About(
        "embed",
        pooling="cls" if cls else "mean",
        max_tokens=most if most < NO_LIMIT else 512,
        licence=_front_matter(folder).get("license", ""),
        training_data=_declared(folder),
    )


def read_context(model: Model) -> int:
    """The most tokens that a model reads, as its config.json says; without a word, no limit."""
    return positions(model.read_json("config.json"))


def positions(config: Mapping[str, Any]) -> int:
    """The most tokens that a model with such a config.json reads; without a word, no limit."""
    given = config.get("max_position_embeddings") or config.get("n_positions")
    if not given:
        return NO_LIMIT
    # RoBERTa's positions begin behind that of its padding
    behind = config.get("pad_token_id", 1) + 1 if config.get("model_type") in BEHIND_PADDING else 0
    return int(given) - behind


def within_context(model: Model, max_tokens: int, before: int = 0) -> tuple[int, list[str]]:
    """As many tokens, or all that the model reads where that is fewer, and then a note that says so.

    Args:
        model: to be trained.
        max_tokens: of a text.
        before: virtual tokens that an adapter puts before it.

    Raises:
        InputError: they leave no room.
    """
    reads = read_context(model)
    most = reads - before
    if most >= max_tokens:
        return max_tokens, []
    if most < 3:
        raise InputError(f"virtual_tokens is {before}, and the base reads {reads} tokens", "set fewer")
    if before:
        return most, [f"max_tokens is {most:,}, not {max_tokens:,}: the base reads {reads:,}, {before} of them virtual"]
    return most, [f"max_tokens is {most:,}, not {max_tokens:,}: more the base does not read"]


NO_LIMIT = 1 << 30  # tokens: the architecture has no positions of its own (T5, say)
BEHIND_PADDING = (
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "roberta-prelayernorm",
    "mpnet",
    "longformer",
)


def save_about(folder: Path, about: About) -> None:
    text = json.dumps(asdict(about), indent=1, sort_keys=True, ensure_ascii=False)
    (folder / ABOUT).write_text(text + "\n", encoding="utf-8")


def save_model(out: Path, tensors: Mapping[str, torch.Tensor], base: Model, about: About) -> None:
    """Write a model folder: new weights, and the files beside them from the model it was made of.

    Args:
        out: an empty folder.
        tensors: by the names that transformers knows.
        base: gives config.json, tokenizer and licence; not its read-me, which tells of another model.
        about: becomes `loomwork.json`.
    """
    from safetensors.torch import save_file

    for name in BESIDE:
        if (base.path / name).is_file() and name != READ_ME:
            link_or_copy(base.path / name, out / name)
    whole = {n: t.detach().cpu().contiguous() for n, t in sorted(tensors.items())}
    save_file(whole, out / WEIGHTS, metadata={"format": "pt"})
    save_about(out, about)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


def _front_matter(folder: Path) -> dict[str, Any]:
    """The YAML head of a model card."""
    import yaml

    path = folder / READ_ME
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    _, fence, rest = text.partition("---\n")
    if not fence or _.strip():
        return {}
    try:
        head = yaml.safe_load(rest.partition("\n---")[0])
    except yaml.YAMLError:
        return {}
    return head if isinstance(head, dict) else {}


def _declared(folder: Path) -> list[str] | None:
    """The training data that a model card names, or None: unknown."""
    named = _front_matter(folder).get("datasets")
    names = [named] if isinstance(named, str) else named
    return [str(n) for n in names] if names else None
