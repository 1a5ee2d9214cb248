"""Make an encoder smaller and faster with 8-bit integers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step

if TYPE_CHECKING:
    from torch import Tensor

    from loomwork.models.bert import Bert
    from loomwork.models.folder import About

SOME_TOKENS = 512  # of one batch, on which the error of each layer is measured
WORDS = "embeddings.word_embeddings"
Tensors = dict[str, "Tensor"]


@step(makes="model", uses=["torch", "openvino"], heavy=True)
def quantize(
    model: Model,
    calibrate: Dataset | None = None,
    *,
    scheme: Literal["int8", "int8-static", "int8-dynamic"] = "int8",
    group: int = 64,
    columns: tuple[str, ...] = ("query", "passage"),
    samples: int = 64,
    max_tokens: int = 64,
    least_cosine: float = 0.995,
    out: Path,
) -> Card:
    """Quantise an encoder's linear layers to int8, and (but for int8-dynamic) its table of words.

    - int8: one scale for each row of a weight; inputs are rounded token by token, in groups of `group` numbers. Runs
      on OpenVINO. With `calibrate`, layers are kept in float32, the most sensitive first, until the vectors of the
      calibration texts are near enough to the original's.
    - int8-static: the same, but inputs are rounded within one range a layer, the widest seen on the calibration texts.
      Faster and less exact.
    - int8-dynamic: what torch.ao's quantize_dynamic does: one scale for each weight, inputs rounded over the range
      of the whole batch as it comes. Runs on torch.

    Args:
        model: a BERT encoder.
        calibrate: texts to measure on; int8-static needs them.
        scheme: see above.
        group: of scheme int8: how many numbers share one scale.
        columns: the columns of `calibrate` that hold texts.
        samples: how many rows of `calibrate` are used, evenly spread.
        max_tokens: how much of each calibration text is read.
        least_cosine: the mean cosine to the original's vectors that is good enough.

    Raises:
        InputError: the model is no plain BERT encoder in floats, or calibration texts are missing.
    """
    import torch

    from loomwork.models.bert import own_name
    from loomwork.models.engines.torch import read_tensors
    from loomwork.models.folder import WEIGHTS, read_about, save_model

    torch.set_num_threads(context().threads)
    module = _open(model)
    about = read_about(model)
    if scheme == "int8-static" and calibrate is None:
        raise InputError("scheme int8-static needs calibration texts", "give calibrate, or take scheme int8")
    names = set(module.state_dict())
    tensors = {own_name(n): t.float() for n, t in read_tensors(model).items() if own_name(n) in names}
    metrics: dict[str, float] = {}
    if scheme == "int8-dynamic":
        tensors = per_tensor(tensors)
        about = replace(about, engine="torch", quantization={"scheme": scheme})
    else:
        texts = _texts(calibrate, columns, samples) if calibrate else []
        settings: dict[str, Any] = {"scheme": scheme} | ({"group": group} if scheme == "int8" else {})
        about = replace(about, engine="openvino", quantization=settings)
        tensors, kept, metrics = _careful(model, module, tensors, about, texts, max_tokens, least_cosine)
        about = replace(about, quantization=settings | {"float32_layers": kept})
        metrics["layers_kept_in_float32"] = len(kept)
    save_model(out, tensors, model, about)
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


def _careful(
    model: Model,
    module: Bert,
    tensors: Tensors,
    about: About,
    texts: Sequence[str],
    max_tokens: int,
    least_cosine: float,
) -> tuple[Tensors, list[str], dict[str, float]]:
    """Weights in int8 by rows, with as many layers in float32 as the calibration texts ask for."""
    import numpy as np

    from loomwork.models.encoder import encode, load_encoder, load_tokenizer
    from loomwork.models.folder import save_model

    every = _linear_names(tensors)
    if not texts:
        return by_rows(tensors, every, {}), [], {}
    group = about.quantization.get("group")
    inputs = _Inputs(module, encode(load_tokenizer(model), texts, max_tokens))
    ranges = {} if group else inputs.ranges
    worst_first = inputs.by_error(group)
    truth = load_encoder(model).embed(texts, max_tokens=max_tokens)
    count = 0
    while True:
        kept = worst_first[:count]
        found = by_rows(tensors, [n for n in every if n not in kept], ranges)
        with tempfile.TemporaryDirectory(dir=context().work) as folder:
            save_model(Path(folder), found, model, about)
            vectors = load_encoder(Model(Path(folder))).embed(texts, max_tokens=max_tokens)
        cosines = np.einsum("ij,ij->i", truth, vectors)
        context().progress(count, len(every), "layers in float32", note=f"mean cosine {cosines.mean():.4f}")
        if cosines.mean() >= least_cosine or count == len(every):
            measured = {"mean_cosine": float(cosines.mean()), "least_cosine": float(cosines.min())}
            return found, sorted(kept), measured
        count = min(len(every), max(1, 2 * count))


def by_rows(tensors: Tensors, layers: Sequence[str], ranges: dict[str, tuple[float, float]]) -> Tensors:
    """These layers' weights and the table of words in int8, row by row; with the ranges of the layers' inputs."""
    import torch

    found = dict(tensors)
    for name in [WORDS, *layers]:
        found[name + ".weight"], found[name + ".weight_scale"] = per_row(tensors[name + ".weight"])
        if name in ranges:
            found[name + ".input_range"] = torch.tensor(ranges[name])
    return found


class _Inputs:
    """What goes into each linear layer on the calibration texts: its range, and the numbers of some tokens."""

    def __init__(self, module: Bert, ids: Sequence[list[int]]) -> None:
        import torch

        from loomwork.models.encoder import BATCH_TOKENS, by_length, pad

        self.layers = {n: m for n, m in module.named_modules() if isinstance(m, torch.nn.Linear)}
        self.ranges = dict.fromkeys(self.layers, (0.0, 0.0))  # 0 is always inside
        self.some: dict[str, Tensor] = {}  # (tokens, in)
        real = torch.empty(0)

        def look(name: str, given: Tensor) -> None:
            low, high = self.ranges[name]
            tokens = given[real]  # (tokens, in), padding left out
            self.ranges[name] = min(low, float(tokens.min())), max(high, float(tokens.max()))
            self.some.setdefault(name, tokens[:: max(1, len(tokens) // SOME_TOKENS)])

        hooks = [m.register_forward_pre_hook(lambda _, given, n=n: look(n, given[0])) for n, m in self.layers.items()]
        with torch.inference_mode():
            for rows in by_length([len(i) for i in ids], BATCH_TOKENS):
                padded, lengths = (torch.from_numpy(a) for a in pad([ids[r] for r in rows]))
                real = torch.arange(padded.shape[1]) < lengths[:, None]
                module.eval().states(padded, lengths)
        for hook in hooks:
            hook.remove()

    def by_error(self, group: int | None) -> list[str]:
        """The layers by the relative error of their output when they alone are quantised, the largest first."""
        errors = {}
        for name, layer in self.layers.items():
            weight, given = layer.weight.detach(), self.some[name]
            whole, scale = per_row(weight)
            near = _round_groups(given, group) if group else _round_within(given, *self.ranges[name])
            exact = given @ weight.T
            errors[name] = float((near @ (whole * scale).T - exact).norm() / exact.norm().clamp(min=1e-30))
        return sorted(self.layers, key=lambda n: (-errors[n], n))


def _round_groups(given: Tensor, group: int) -> Tensor:
    """Rounded to 8 bits, each group of numbers of a token within its own range."""
    parts = given.reshape(len(given), -1, group if given.shape[-1] % group == 0 else given.shape[-1])
    scale = parts.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 127
    return ((parts / scale).round() * scale).flatten(-2)


def _round_within(given: Tensor, low: float, high: float) -> Tensor:
    """Rounded to 8 bits within a range."""
    scale = max(high - low, 1e-12) / 255
    return ((given.clamp(low, high) - low) / scale).round() * scale + low


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
