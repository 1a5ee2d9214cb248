"""Make an encoder smaller and faster with 8-bit integers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le, MinLen

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from loomwork.models.bert import Bert
    from loomwork.models.folder import About

SOME_TOKENS = 512  # on which the error of each layer is measured
WORDS = "embeddings.word_embeddings"
Tensors = dict[str, "Tensor"]


@step(makes="model", uses=["torch", "openvino", "numpy", "safetensors"], heavy=True)
def quantize(
    model: Model,
    calibrate: Dataset | None = None,
    *,
    scheme: Literal["int8", "int8-dynamic"] = "int8",
    group: Annotated[int, Ge(1)] = 64,
    columns: Annotated[tuple[str, ...], MinLen(1)] = ("query", "passage"),
    samples: Annotated[int, Ge(1)] = 64,
    max_tokens: Annotated[int, Ge(1)] = 64,
    least_cosine: Annotated[float, Ge(-1), Le(1)] = 0.995,
    out: Path,
) -> Card:
    """Quantise an encoder's linear layers to int8, and (but for int8-dynamic) its table of words.

    - int8: one scale for each row of a weight; inputs are rounded token by token, in groups of `group` numbers. Runs
      on OpenVINO. With `calibrate`, layers are kept in float32, the most sensitive first, until the vectors of the
      calibration texts are near enough to the original's.
    - int8-dynamic: what torch.ao's quantize_dynamic does: one scale for each weight, inputs rounded to 7 bits over
      the range of the whole batch as it comes. The words stay in float32. Runs on torch.

    Args:
        model: a BERT encoder.
        calibrate: texts on which the vectors are compared with the original's.
        scheme: see above.
        group: of scheme int8: how many numbers of a layer's input share one scale.
        columns: the columns of `calibrate` that hold texts.
        samples: how many rows of `calibrate` are used, evenly spread.
        max_tokens: how much of each calibration text is read.
        least_cosine: the mean cosine to the original's vectors that is good enough.

    Raises:
        InputError: the model is no plain BERT encoder in floats, `group` does not fit it, or a column is missing.
    """
    import torch

    from loomwork.models.bert import own_name
    from loomwork.models.engines.torch import read_tensors
    from loomwork.models.folder import WEIGHTS, read_about, save_model

    torch.set_num_threads(context().threads)
    module = _open(model)
    about = read_about(model)
    names = set(module.state_dict())
    tensors = {own_name(n): t.float() for n, t in read_tensors(model).items() if own_name(n) in names}
    ruler = Ruler(model, _texts(calibrate, columns, samples), max_tokens) if calibrate else None
    metrics: dict[str, float] = {}
    if scheme == "int8-dynamic":
        tensors = per_tensor(tensors)
        about = replace(about, engine="torch", quantization={"scheme": scheme})
    else:
        _check_group(model, group)
        about = replace(about, engine="openvino", quantization={"scheme": scheme, "group": group})
        kept = sensitive_layers(module, tensors, about, ruler, least_cosine) if ruler else []
        tensors = by_rows(tensors, kept)
        about = replace(about, quantization=about.quantization | {"float32_layers": kept})
        metrics["layers_kept_in_float32"] = len(kept)
    save_model(out, tensors, model, about)
    if ruler:
        cosines = ruler.cosines(Model(out))
        metrics |= {"mean_cosine": float(cosines.mean()), "least_cosine": float(cosines.min())}
    before, after = model.file(WEIGHTS).stat().st_size, (out / WEIGHTS).stat().st_size
    return Card(metrics=metrics | {"bytes_before": before, "bytes": after, "times_smaller": before / after})


def per_row(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 (rows, columns) and the scale of each row (rows, 1)."""
    import torch

    scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
    return (weight / scale).round().clamp(-127, 127).to(torch.int8), scale


def per_tensor(tensors: Tensors) -> Tensors:
    """All weights of linear layers in int8 with one scale each, as torch.ao's default for dynamic quantisation."""
    import torch

    found = dict(tensors)
    for name in _linear_names(tensors):
        weight = tensors[name + ".weight"]
        scale = weight.abs().max().clamp(min=1e-12) / 127.5
        found[name + ".weight"] = (weight / scale).round().clamp(-128, 127).to(torch.int8)
        found[name + ".weight_scale"] = scale.reshape(1)
    return found


def _linear_names(tensors: Tensors) -> list[str]:
    names = [n.removesuffix(".weight") for n, t in tensors.items() if n.endswith(".weight") and t.ndim == 2]
    return sorted(n for n in names if n.startswith("encoder."))


class Ruler:
    """How near a model's vectors are to the original's, on the calibration texts."""

    def __init__(self, model: Model, texts: Sequence[str], max_tokens: int) -> None:
        from loomwork.models.encoder import load_encoder

        self.model, self.texts, self.max_tokens = model, texts, max_tokens
        self.truth = load_encoder(model).embed(texts, max_tokens=max_tokens)

    def cosines(self, other: Model) -> np.ndarray:
        """One cosine a text."""
        import numpy as np

        from loomwork.models.encoder import load_encoder

        vectors = load_encoder(other).embed(self.texts, max_tokens=self.max_tokens)
        found: np.ndarray = np.einsum("ij,ij->i", self.truth, vectors)
        return found


def sensitive_layers(module: Bert, tensors: Tensors, about: About, ruler: Ruler, least_cosine: float) -> list[str]:
    """The layers that must stay in float32 for the mean cosine to be reached: none, or the worst 1, 2, 4, ..."""
    from loomwork.models.encoder import encode, load_tokenizer
    from loomwork.models.folder import save_model

    ids = encode(load_tokenizer(ruler.model), ruler.texts, ruler.max_tokens)
    worst_first = by_error(module, layer_inputs(module, ids), about.quantization["group"])
    count = 0
    while True:
        kept = worst_first[:count]
        with tempfile.TemporaryDirectory(dir=context().work) as folder:
            save_model(Path(folder), by_rows(tensors, kept), ruler.model, about)
            cosine = float(ruler.cosines(Model(Path(folder))).mean())
        context().progress(count, len(worst_first), "layers in float32", note=f"mean cosine {cosine:.4f}")
        if cosine >= least_cosine or count == len(worst_first):
            return sorted(kept)
        count = min(len(worst_first), max(1, 2 * count))


def by_rows(tensors: Tensors, kept: Sequence[str]) -> Tensors:
    """All weights but these layers', and the table of words, in int8, row by row."""
    found = dict(tensors)
    for name in [WORDS, *(n for n in _linear_names(tensors) if n not in kept)]:
        found[name + ".weight"], found[name + ".weight_scale"] = per_row(tensors[name + ".weight"])
    return found


def layer_inputs(module: Bert, ids: Sequence[list[int]]) -> Tensors:
    """What goes into each linear layer, (tokens, in), for some tokens of one batch of texts, padding left out."""
    import torch

    from loomwork.models.encoder import BATCH_TOKENS, by_length, pad

    rows = next(by_length([len(i) for i in ids], BATCH_TOKENS))
    padded, lengths = (torch.from_numpy(a) for a in pad([ids[r] for r in rows]))
    real = torch.arange(padded.shape[1]) < lengths[:, None]
    stride = max(1, int(real.sum()) // SOME_TOKENS)
    found: Tensors = {}
    hooks = [
        layer.register_forward_pre_hook(lambda _, given, n=n: found.__setitem__(n, given[0][real][::stride]))
        for n, layer in module.named_modules()
        if isinstance(layer, torch.nn.Linear)
    ]
    with torch.inference_mode():
        module.eval().states(padded, lengths)
    for hook in hooks:
        hook.remove()
    return found


def by_error(module: Bert, inputs: Tensors, group: int) -> list[str]:
    """The layers by the relative error of their output when they alone are quantised, the largest first."""
    errors = {}
    for name, given in inputs.items():
        weight: Tensor = module.get_submodule(name).weight.detach()  # type: ignore[operator]
        whole, scale = per_row(weight)
        exact = given @ weight.T
        near = _round_groups(given, group) @ (whole * scale).T
        errors[name] = float((near - exact).norm() / exact.norm().clamp(min=1e-30))
    return sorted(errors, key=lambda n: (-errors[n], n))


def _round_groups(given: Tensor, group: int) -> Tensor:
    """Rounded to 8 bits, each group of numbers of a token within its own range."""
    parts = given.reshape(len(given), -1, group)
    scale = parts.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 127
    return ((parts / scale).round() * scale).flatten(-2)


def _texts(data: Dataset, columns: Sequence[str], samples: int) -> list[str]:
    """The texts of some rows, evenly spread over the data."""
    data.require(*columns)
    data.require_rows()
    total, texts, place = len(data), [], 0
    wanted = {i * total // min(samples, total) for i in range(min(samples, total))}
    for table in data.tables(columns=list(columns)):
        for row in table.to_pylist():
            if place in wanted:
                texts += [row[c] for c in columns if row[c]]
            place += 1
    if not texts:
        raise InputError(f"the calibration rows have no text in the columns {', '.join(columns)}")
    return texts


def _check_group(model: Model, group: int) -> None:
    config = model.read_json("config.json")
    widths = (config["hidden_size"], config["intermediate_size"])
    if any(width % group for width in widths):
        raise InputError(f"group is {group}, which does not divide the widths {widths} of the layers", "try 32 or 64")


def _open(model: Model) -> Bert:
    from loomwork.models.bert import Shape
    from loomwork.models.engines.torch import build_bert, read_tensors
    from loomwork.models.folder import read_about

    config, about = model.read_json("config.json"), read_about(model)
    shape = Shape.of(config)
    if shape is None or about.task != "embed":
        kind = config.get("model_type")
        raise InputError(f"compress.quantize takes BERT encoders; this is a {kind!r} for the task {about.task!r}")
    if about.quantization:
        raise InputError("the model is quantised already", "give the model that it was made of")
    return build_bert(shape, read_tensors(model))
