"""Extractive question answering: windows, what is learned, and the spans that are found, each against a second one."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError
from loomwork.data.read import read
from loomwork.evals.answer import answer as predict
from loomwork.evals.squad import squad
from loomwork.learn.settings import Rows, Training
from loomwork.models.encoder import load_tokenizer
from loomwork.models.folder import read_about
from loomwork.models.reader import Window, encode_windows, load_reader
from loomwork.train.answer import answer, read_questions

COLUMNS = ("question", "context", "answers")


@pytest.fixture(scope="module")
def asked(test_data, tmp_path_factory) -> list[dict]:
    """Questions of SQuAD 2.0 about short contexts, every third without an answer."""
    out = tmp_path_factory.mktemp("squad")
    read(path=test_data / "squad" / "dev-v2.0.json", reader="squad", out=out)
    rows = sorted(Dataset(out).rows(), key=lambda r: (len(r["context"]), r["id"]))
    has = [r for r in rows if r["answers"]["text"]]
    none = [r for r in rows if not r["answers"]["text"]]
    return [row for i in range(8) for row in (has[2 * i], has[2 * i + 1], none[i])]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with use_context(Context(threads=1)):
        yield


@pytest.fixture(scope="module")
def small(minilm, tmp_path_factory) -> Model:
    """A random BERT of two layers with MiniLM's tokenizer."""
    from transformers import BertConfig, BertModel

    out = tmp_path_factory.mktemp("small")
    for file in minilm.path.iterdir():
        if file.name not in ("model.safetensors", "config.json", "loomwork.json") and file.is_file():
            shutil.copyfile(file, out / file.name)
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    BertModel(BertConfig(**shape, initializer_range=0.1)).save_pretrained(out)
    return Model(out)


@pytest.fixture(scope="module")
def trained(small, asked, tmp_path_factory) -> tuple[Model, dict, Dataset]:
    folder = tmp_path_factory.mktemp("answer")
    keep = ("id", *COLUMNS)
    with DatasetWriter(folder / "data") as writer:
        writer.write([{name: r[name] for name in keep} for r in asked])
    (folder / "model").mkdir()
    card = answer(
        small,
        Dataset(folder / "data"),
        dropout=0.0,
        max_tokens=40,
        overlap_tokens=16,
        rows=Rows(steps=160, batch=16),
        training=Training(learning_rate=2e-3, schedule="linear"),
        out=folder / "model",
    )
    return Model(folder / "model"), card.metrics, Dataset(folder / "data")


def test_it_learns_and_squad_scores_it(trained, run_step):
    model, metrics, data = trained
    assert (metrics["rows"], metrics["questions_without_an_answer"]) == (24, 8)
    assert metrics["windows"] > 24  # some contexts are longer than a window
    found, card = run_step(predict, data=data, model=model)
    assert set(found.schema.names) >= {"question", "answers", "prediction", "prediction_margin"}
    scores, _ = run_step(squad, rows=found)
    assert scores.score("exact_match").value > 75
    assert scores.score("NoAns_exact_match").value > 60
    assert 0 < card.metrics["rows_without_an_answer"] < 16
    always, _ = run_step(predict, data=data, model=model, least_margin=-1e9)
    assert all(row["prediction"] for row in always.rows())


def test_what_the_folder_says(trained):
    model, _, data = trained
    about = read_about(model)
    assert (about.task, about.max_tokens, about.training["unanswerable"]) == ("answer", 40, 8)
    assert about.trained_on[-1] == {"dataset": data.digest, "columns": list(COLUMNS)}


def test_spans_are_those_of_transformers_and_a_plain_search(trained, asked):
    """Windows, logits and the best span, computed with transformers' own tokenizer and model and three loops."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    model, _, _ = trained
    theirs = AutoModelForQuestionAnswering.from_pretrained(model.path, local_files_only=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(model.path, local_files_only=True)
    short = [r for r in asked if len(tokenizer(r["question"], add_special_tokens=False).input_ids) <= 10]
    rows = short[:6]  # their questions are not cut
    assert len(rows) == 6
    ours = load_reader(model).best([r["question"] for r in rows], [r["context"] for r in rows], longest_tokens=12)
    for row, one in zip(rows, ours, strict=True):
        inputs = tokenizer(
            row["question"], row["context"], truncation="only_second", max_length=40, stride=16, padding=True,
            return_overflowing_tokens=True, return_offsets_mapping=True, return_tensors="pt",
        )  # fmt: skip
        offsets = inputs.pop("offset_mapping").tolist()
        inputs.pop("overflow_to_sample_mapping")
        inputs.pop("token_type_ids", None)  # this tokenizer may be asked not to give them: they are the sides of a pair
        sides = [[int(side == 1) for side in inputs.sequence_ids(w)] for w in range(len(offsets))]
        types = torch.tensor(sides)
        for w, row_types in enumerate(types):  # the [SEP] at the end is of the second side
            row_types[int((inputs["input_ids"][w] == 102).nonzero()[-1])] = 1
        with torch.no_grad():
            logits = theirs(**inputs, token_type_ids=types)
        best, text, none = -np.inf, "", np.inf
        for w, (starts, ends) in enumerate(zip(logits.start_logits.tolist(), logits.end_logits.tolist(), strict=True)):
            none = min(none, starts[0] + ends[0])
            inside = [i for i, side in enumerate(inputs.sequence_ids(w)) if side == 1]
            for i in inside:
                for j in [j for j in inside if i <= j < i + 12]:
                    if starts[i] + ends[j] > best:
                        best, text = starts[i] + ends[j], row["context"][offsets[w][i][0] : offsets[w][j][1]]
        assert one.text == text
        assert row["context"][one.start :].startswith(text)
        assert (one.score, one.none) == pytest.approx((best, none), abs=1e-3)


def test_an_answer_is_found_in_its_windows(minilm, asked):
    tokenizer = load_tokenizer(minilm)
    rows = [r for r in asked if r["answers"]["text"]]
    questions, contexts = [r["question"] for r in rows], [r["context"] for r in rows]
    seen: dict[int, list[str]] = {}
    for window in encode_windows(tokenizer, questions, contexts, 48, 20):
        assert len(window.ids) <= 48
        text, start = (rows[window.row]["answers"][name][0] for name in ("text", "answer_start"))
        first, last = window.place(start, start + len(text))
        if (first, last) != (0, 0):
            begin, end = window.spans[first - window.first, 0], window.spans[last - window.first, 1]
            seen.setdefault(window.row, []).append(contexts[window.row][begin:end])
    assert {row: set(found) for row, found in seen.items()} == {
        i: {r["answers"]["text"][0]} for i, r in enumerate(rows) if i in seen
    }
    assert len(seen) == len(rows)


def test_a_long_question_is_cut_and_what_lies_across_a_window_is_not_in_it(minilm):
    tokenizer = load_tokenizer(minilm)
    (only,) = encode_windows(tokenizer, ["why " * 500], ["because"], 64, 32)
    assert (only.first, len(only.ids)) == (18, 20)
    window = Window(0, np.zeros(6, np.int32), np.zeros(6, np.uint8), 2, np.array([[10, 14], [15, 19], [20, 22]]))
    assert window.place(15, 22) == (3, 4)
    assert [window.place(8, 14), window.place(20, 25), window.place(-1, -1)] == [(0, 0)] * 3


def test_the_loss_is_that_of_transformers(minilm, trained):
    from loomwork.learn.objectives import Outputs, SpanObjective
    from loomwork.learn.padded import PaddedPart, pad_rows
    from loomwork.models.opened import open_outputs

    model, _, data = trained
    given = read_questions(minilm, data, COLUMNS, 40, 16)
    chosen = [i for i, ids in enumerate(given.ids) if len(ids) == 40][:6]  # transformers scores padding too
    opened = open_outputs(model, "AutoModelForQuestionAnswering").eval()
    ids, seen = pad_rows([given.ids[i] for i in chosen], 0)
    starts, ends = torch.tensor([given.places[i] for i in chosen]).T
    part = PaddedPart(ids, seen, (starts, ends), 1 / len(chosen), ())
    with torch.no_grad():
        ours = SpanObjective(Outputs(opened, torch.float32))(part)
        theirs = opened(input_ids=ids, attention_mask=seen, start_positions=starts, end_positions=ends).loss
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_answers_in_each_form_and_rows_that_are_left_out(minilm, make_dataset):
    text = "Ada wrote it in 1843."
    forms = ["1843", ["1843", "in 1843"], {"text": ["1843"], "answer_start": [16]}, {"text": [], "answer_start": []}]
    for form, unanswerable in zip(forms, (0, 0, 0, 1), strict=True):
        rows = [{"question": "When?", "context": text, "answers": form}]
        given = read_questions(minilm, make_dataset(rows), COLUMNS, 64, 16)
        assert given.unanswerable == unanswerable
        tokens = load_tokenizer(minilm).encode("When?", text).tokens
        first, last = given.places[0]
        assert tokens[first : last + 1] == (["[CLS]"] if unanswerable else ["1843"])
    rows = [{"question": q, "context": c, "answers": a} for q, c, a in [(" ", text, "1843"), ("When?", text, "1850")]]
    with pytest.raises(InputError, match="no row can be learned from: 1 rows: no question or no context; 1 rows: the"):
        read_questions(minilm, make_dataset(rows), COLUMNS, 64, 16)


def test_bad_input_is_refused(minilm, trained, make_dataset, run_step):
    model, _, data = trained
    with pytest.raises(InputError, match="no column 'contex'"):
        run_step(answer, base=minilm, data=data, context="contex")
    with pytest.raises(InputError, match="more than half of max_tokens"):
        run_step(answer, base=minilm, data=data, max_tokens=64, overlap_tokens=40)
    with pytest.raises(InputError, match="no output layer for spans"):
        run_step(predict, data=data, model=minilm)
    with pytest.raises(InputError, match="rows without a text"):
        run_step(predict, data=make_dataset([{"question": None, "context": "a"}]), model=model)


@pytest.mark.parametrize("adapter", ["lora", "ia3", "prompt", "prefix", "p_tuning"])
def test_adapters(adapter, small, trained, run_step):
    _, _, data = trained
    targets = ["query", "value"] if adapter == "ia3" else None
    given = dict(steps=2, max_tokens=40, overlap_tokens=16, adapter=adapter, targets=targets)
    model, card = run_step(answer, base=small, data=data, **given)
    assert card.metrics["trained_parameters"] < card.metrics["parameters"] / 4
    found, _ = run_step(predict, data=data, model=model)
    assert len(found) == 24
