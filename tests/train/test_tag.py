"""Taggers: words and tokens, what is learned, the loss against transformers' own, and the recipe ner.yaml."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe
from loomwork.data.read import read
from loomwork.evals.tag import tag as predict
from loomwork.learn.objectives import Outputs, TokenObjective
from loomwork.learn.objectives import class_weights as weights_of
from loomwork.learn.padded import PaddedPart, pad_rows, pad_targets
from loomwork.learn.settings import Rows, Training
from loomwork.models.cross_entropy import IGNORED
from loomwork.models.folder import read_about
from loomwork.models.opened import open_outputs
from loomwork.models.tagger import load_tagger
from loomwork.train.tag import read_tagged, tag

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with use_context(Context(threads=1)):
        yield


@pytest.fixture(scope="module")
def wnut(test_data, tmp_path_factory) -> list[dict]:
    """Sentences of WNUT-17, the shortest with an entity."""
    out = tmp_path_factory.mktemp("wnut")
    read(path=test_data / "ner" / "wnut17" / "emerging.dev.conll", out=out)
    rows = [{"tokens": r["tokens"], "tags": r["tags"]} for r in Dataset(out).rows()]
    return sorted((r for r in rows if set(r["tags"]) != {"O"}), key=lambda r: (len(r["tokens"]), r["tokens"]))[:48]


@pytest.fixture(scope="module")
def trained(minilm, wnut, tmp_path_factory) -> tuple[Model, dict, Dataset]:
    folder = tmp_path_factory.mktemp("tag")
    with DatasetWriter(folder / "data") as writer:
        writer.write([*wnut, {"tokens": ["no", "tags"], "tags": ["O"]}, {"tokens": [], "tags": []}])
    (folder / "model").mkdir()
    rows, training = Rows(steps=30, batch=16), Training(learning_rate=1e-3, schedule="linear")
    card = tag(minilm, Dataset(folder / "data"), dropout=0.0, rows=rows, training=training, out=folder / "model")
    return Model(folder / "model"), card.metrics, Dataset(folder / "data")


def test_it_learns(trained, wnut):
    model, metrics, _ = trained
    assert (metrics["rows"], metrics["rows_left_out"]) == (48, 2)
    assert metrics["classes"] == len({t for r in wnut for t in r["tags"]})
    found = load_tagger(model).tags([r["tokens"] for r in wnut])
    entity = [(a, b) for r, said in zip(wnut, found, strict=True) for a, b in zip(r["tags"], said, strict=True)]
    right = [a == b for a, b in entity if a != "O"]
    assert sum(right) > 0.8 * len(right)


def test_what_the_folder_says(trained):
    model, _, data = trained
    about = read_about(model)
    assert about.task == "tag"
    assert about.trained_on[-1] == {"dataset": data.digest, "columns": ["tokens", "tags"]}


def test_a_words_tag_stands_at_its_first_token(minilm, make_dataset):
    from loomwork.models.encoder import load_tokenizer

    row = {"tokens": ["Sonmarg", ",", "\x01", "unbelievable"], "tags": ["B-location", "O", "O", "B-x"]}
    given = read_tagged(minilm, make_dataset([row]), "tokens", "tags", 128)
    assert given.classes == ["B-location", "B-x", "O"]
    tokens = load_tokenizer(minilm).encode(row["tokens"], is_pretokenized=True).tokens
    said = {tokens[i]: given.classes[t] for i, t in enumerate(given.targets[0]) if t != IGNORED}
    assert said == {"son": "B-location", ",": "O", "unbelievable": "B-x"}
    assert given.beyond == 1  # the control character gives no token
    cut = read_tagged(minilm, make_dataset([row]), "tokens", "tags", 4)
    assert len(cut.ids[0]) == 4
    assert cut.beyond == 3


def test_held_out_tags_that_are_none_of_the_known_count_as_outside(minilm, make_dataset):
    rows = [{"tokens": ["a", "b"], "tags": ["B-new", "B-old"]}]
    given = read_tagged(minilm, make_dataset(rows), "tokens", "tags", 16, ["B-old", "O"])
    assert [t for t in given.targets[0] if t != IGNORED] == [1, 0]


def test_the_loss_is_that_of_transformers_and_weights_that_of_torch(trained, minilm):
    model, _, data = trained
    given = read_tagged(minilm, data, "tokens", "tags", 128)
    opened = open_outputs(model, "AutoModelForTokenClassification").eval()
    ids, seen = pad_rows(given.ids[:8], 0)
    targets = pad_targets(given.targets[:8], IGNORED)
    wanted = targets[targets != IGNORED]
    with torch.no_grad():
        part = PaddedPart(ids, seen, targets, 1 / len(wanted), ())
        ours = TokenObjective(Outputs(opened, torch.float32))(part)
        output = opened(input_ids=ids, attention_mask=seen, labels=targets)
        torch.testing.assert_close(ours, output.loss, atol=1e-5, rtol=1e-5)
        weights = weights_of(torch.bincount(wanted, minlength=len(given.classes)), "balanced")
        part = PaddedPart(ids, seen, targets, 1 / float(weights[wanted].sum()), ())
        ours = TokenObjective(Outputs(opened, torch.float32), weights)(part)
        theirs = torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), targets.flatten(), weights)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_decoder_tags_too(precision, stories, wnut, make_dataset, run_step):
    how = {"steps": 20, "batch": 8, "dropout": 0.0, "learning_rate": 3e-3}
    with use_context(Context(precision=precision, threads=1)):
        _, card = run_step(tag, base=stories, data=make_dataset(wnut), **how)
    assert card.metrics["final_loss"] < 1.5  # the mean of all 20 steps; it begins with that of 11 classes, 2.4


@pytest.mark.parametrize("adapter", ["lora", "prompt"])
def test_adapters(adapter, minilm, trained, run_step):
    _, _, data = trained
    model, card = run_step(tag, base=minilm, data=data, steps=1, batch=4, adapter=adapter)
    assert card.metrics["trained_parameters"] < card.metrics["parameters"] / 4
    found, _ = run_step(predict, data=data.select("data"), model=model)
    assert len(found) == len(data)


def test_bad_input_is_refused(minilm, make_dataset, run_step):
    with pytest.raises(InputError, match="no column 'tags'"):
        run_step(tag, base=minilm, data=make_dataset([{"tokens": ["a"]}]))
    with pytest.raises(InputError, match="no row has lists of as many"):
        run_step(tag, base=minilm, data=make_dataset([{"tokens": "a b", "tags": "O O"}]))
    with pytest.raises(InputError, match="the one tag 'O'"):
        run_step(tag, base=minilm, data=make_dataset([{"tokens": ["a"], "tags": ["O"]}]))
    with pytest.raises(InputError, match="no output layer of tags"):
        run_step(predict, data=make_dataset([{"tokens": ["a"]}]), model=minilm)


def test_the_recipe(minilm, wnut, tmp_path):
    """With files under other names than .conll, as WNUT-17 has them, and a few steps."""
    for name, rows in (("path", wnut[:16]), ("dev", wnut[16:20]), ("test", wnut[20:24])):
        lines = ["".join(f"{w}\t{t}\n" for w, t in zip(r["tokens"], r["tags"], strict=True)) for r in rows]
        (tmp_path / f"{name}.annotated").write_text("\n".join(lines), encoding="utf-8")
    settings = {name: str(tmp_path / f"{name}.annotated") for name in ("path", "dev", "test")}
    shutil.copyfile(ROOT / "recipes" / "ner.yaml", tmp_path / "ner.yaml")
    home = Home(tmp_path / "home")
    done = run_recipe(tmp_path / "ner.yaml", {**settings, "epochs": 1.0}, home=home)
    assert not done.failed, [s.error for s in done.steps.values()]
    assert done.moved
    assert done.steps["scores"].card.metrics["sentences"] == 4
