"""int8 encoders: exactness, size, and what is refused. The real MiniLM, and texts of this project's tests."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from loomwork.compress.quantize import per_row, quantize
from loomwork.core.artifact import Model
from loomwork.core.errors import InputError
from loomwork.models.encoder import load_encoder
from loomwork.models.folder import read_about, save_about
from loomwork.train.base import base
from tests.step_ranges import without_range

ROWS = [
    {
        "query": f"{verb} {noun}",
        "passage": f"module.{verb}_{noun}(x, *, key) {verb.capitalize()} a {noun}, or raise ValueError.",
    }
    for verb in ("merge", "split", "open", "parse")
    for noun in ("list", "file", "date", "queue", "archive", "header")
]
TEXTS = [text for row in ROWS for text in row.values()]


@pytest.fixture(scope="module")
def minilm(tmp_path_factory) -> Model:
    out = tmp_path_factory.mktemp("minilm")
    base(out=out)
    return Model(out)


def cosines(model: Model, other: Model) -> np.ndarray:
    return np.einsum("ij,ij->i", load_encoder(model).embed(TEXTS), load_encoder(other).embed(TEXTS))


def test_int8_is_near_the_original_at_a_quarter_of_the_size(minilm, make_dataset, run_step):
    small, card = run_step(quantize, model=minilm, calibrate=make_dataset(ROWS))
    assert card.metrics["bytes"] < 24e6
    assert card.metrics["times_smaller"] > 3.8
    assert card.metrics["layers_kept_in_float32"] == 0
    assert card.metrics["mean_cosine"] > 0.998
    assert cosines(minilm, small).min() > 0.996
    assert read_about(small).quantization == {"scheme": "int8", "group": 64, "float32_layers": []}


def test_int8_needs_no_texts_and_makes_the_same_bytes_again(minilm, make_dataset, run_step):
    models = [run_step(quantize, model=minilm)[0] for _ in range(2)]
    assert models[0].id == models[1].id
    assert models[0].id == run_step(quantize, model=minilm, calibrate=make_dataset(ROWS))[0].id


def test_the_most_sensitive_layers_are_kept_until_it_is_near_enough(minilm, make_dataset, run_step):
    data = make_dataset(ROWS)
    plain, worse = run_step(quantize, model=minilm, calibrate=data, group=384)
    careful, better = run_step(quantize, model=minilm, calibrate=data, group=384, least_cosine=0.9985)
    assert worse.metrics["layers_kept_in_float32"] == 0
    assert 0 < better.metrics["layers_kept_in_float32"] < 36
    assert better.metrics["mean_cosine"] >= 0.9985 > worse.metrics["mean_cosine"]
    assert cosines(minilm, careful).mean() > cosines(minilm, plain).mean() > 0.98
    kept = read_about(careful).quantization["float32_layers"]
    tensors = load_file(careful.file("model.safetensors"))
    assert all(tensors[name + ".weight"].dtype == torch.float32 for name in kept)


def test_naive_is_what_torch_does(minilm, run_step):
    """Against torch.ao.quantization.quantize_dynamic, on the same module and batch."""
    import warnings

    from loomwork.compress.quantize import _open

    naive, card = run_step(quantize, model=minilm, scheme="int8-dynamic")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torch.ao.quantization.quantize_dynamic(_open(minilm).eval(), {torch.nn.Linear}, dtype=torch.qint8)
    encoder = load_encoder(naive)
    ids, lengths = np.array([[101, 7592, 2088, 102], [101, 3449, 102, 0]]), np.array([4, 3])
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(ids), torch.from_numpy(lengths)).numpy()
    np.testing.assert_allclose(encoder.engine.embed(ids, lengths), expected, atol=1e-5)
    assert card.metrics["bytes"] < 60e6
    assert 0.85 < cosines(minilm, naive).mean() < 0.998


def test_vectors_of_int8_do_not_depend_on_their_neighbours(minilm, run_step):
    encoder = load_encoder(run_step(quantize, model=minilm)[0])
    alone = np.concatenate([encoder.embed([t]) for t in TEXTS])
    np.testing.assert_allclose(encoder.embed(TEXTS), alone, atol=5e-3)


def test_rows_are_rounded_to_the_nearest_of_255_steps():
    torch.manual_seed(0)
    weight = torch.randn(20, 33) * torch.logspace(-3, 3, 20)[:, None]
    weight[4] = 0
    whole, scale = per_row(weight)
    assert whole.dtype == torch.int8
    assert int(whole.min()) >= -127
    assert torch.all((whole * scale - weight).abs() <= scale / 2 * 1.0001)


def test_bad_input_is_refused(minilm, make_dataset, run_step, tmp_path):
    with pytest.raises(InputError, match="no column 'query'"):
        run_step(quantize, model=minilm, calibrate=make_dataset([{"text": "a"}]))
    with pytest.raises(InputError, match="group is 100, which does not divide"):
        run_step(quantize, model=minilm, group=100)
    with pytest.raises(InputError, match="quantised already"):
        run_step(quantize, model=run_step(quantize, model=minilm)[0])
    shutil.copytree(minilm.path, tmp_path / "g")
    save_about(tmp_path / "g", replace(read_about(minilm), task="generate"))
    with pytest.raises(InputError, match="for the task 'generate'"):
        run_step(quantize, model=Model(tmp_path / "g"))


def test_settings_out_of_range_are_refused_before_the_step():
    wrong = {"group": 0, "columns": [], "samples": 0, "max_tokens": 0, "least_cosine": 1.5}
    with pytest.raises(ValidationError) as caught:
        quantize.step.settings_model(**wrong)
    assert {fault["loc"][0] for fault in caught.value.errors()} == set(wrong)
    assert without_range(quantize.step) == []
