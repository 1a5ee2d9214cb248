"""Masked language modelling: what is hidden, the loss against transformers' own, and an encoder in the end."""

from __future__ import annotations

import calendar
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from loomwork.core.artifact import Model, Tokenizer
from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset, DatasetWriter
from loomwork.core.errors import InputError, Stopped
from loomwork.learn.masked import MaskedObjective, Pieces, read_pieces, read_special
from loomwork.learn.objectives import Outputs
from loomwork.learn.order import positions
from loomwork.learn.padded import PaddedPart, pad_rows, pad_targets
from loomwork.learn.parts import HELD_LOGITS, fewer_for_logits
from loomwork.learn.settings import Rows, Training
from loomwork.models.cross_entropy import IGNORED
from loomwork.models.encoder import load_encoder, load_tokenizer
from loomwork.models.folder import read_about
from loomwork.train.init import init
from loomwork.train.pretrain_masked import pretrain_masked
from loomwork.train.tokenizer import MASK, tokenizer

STDLIB = Path(subprocess.__file__).parent
MONTHS = calendar.month_name[1:]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with use_context(Context(threads=1)):
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Dataset:
    """Real text: paragraphs of a module of the standard library."""
    out = tmp_path_factory.mktemp("corpus")
    paragraphs = (STDLIB / "argparse.py").read_text().split("\n\n")
    with DatasetWriter(out) as writer:
        writer.write([{"text": p} for p in dict.fromkeys(paragraphs)])
    return Dataset(out)


@pytest.fixture(scope="module")
def months(tmp_path_factory) -> Dataset:
    """Months in their order, from any month on: each is known from those around it."""
    out = tmp_path_factory.mktemp("months")
    with DatasetWriter(out) as writer:
        for start in range(12):
            for count in range(6, 12):
                writer.write([{"text": " ".join(MONTHS[(start + i) % 12] for i in range(count))}])
    return Dataset(out)


@pytest.fixture(scope="module")
def fresh(corpus, tmp_path_factory) -> Model:
    """A fresh BERT with a byte-level tokenizer."""
    words, out = tmp_path_factory.mktemp("tokenizer"), tmp_path_factory.mktemp("fresh")
    tokenizer(corpus, vocabulary=600, mask=True, out=words)
    init(Tokenizer(words), architecture="bert", layers=1, context_tokens=64, out=out)
    return Model(out)


@pytest.fixture(scope="module")
def pieces(minilm, corpus, tmp_path_factory) -> Pieces:
    special = read_special(minilm)
    file = tmp_path_factory.mktemp("pieces") / "tokens"
    return read_pieces(corpus, "text", load_tokenizer(minilm), special, 32, file)


def test_what_is_hidden(pieces):
    """15 % of what may be, at least one; of these 80 % masks, 10 % other tokens, 10 % as they were."""
    counts = np.zeros(4)
    for step in range(3):
        for piece in range(len(pieces)):
            before = pieces[piece]
            ids, targets = pieces.masked(piece, 0.15, 7, step)
            chosen = targets != IGNORED
            may = ~np.isin(before, sorted(pieces.special.ids))
            assert not (chosen & ~may).any()
            assert chosen.sum() == max(1, round(0.15 * may.sum()))
            assert (targets[chosen] == before[chosen]).all()
            assert (ids[~chosen] == before[~chosen]).all()
            masked, same = ids[chosen] == pieces.special.mask, ids[chosen] == before[chosen]
            assert not set(ids[chosen][~masked & ~same].tolist()) & pieces.special.ids
            counts += chosen.sum(), masked.sum(), same.sum(), (~masked & ~same).sum()
    total, *kinds = counts
    assert total > 5000
    for kind, share in zip(kinds, (0.8, 0.1, 0.1), strict=True):
        assert abs(kind / total - share) < 4 * (share * (1 - share) / total) ** 0.5


def test_what_is_hidden_depends_on_seed_and_step_only(pieces):
    first = pieces.masked(5, 0.15, 7, 3)
    again = pieces.masked(5, 0.15, 7, 3)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    longest = int(pieces.lengths.argmax())
    drawn = {tuple(pieces.masked(longest, 0.15, seed, step)[1]) for seed in (7, 8) for step in range(10)}
    assert len(drawn) > 15


def test_long_texts_become_pieces_without_a_loss(pieces, corpus, minilm):
    texts = {bytes(r["row_id"]): r["text"] for r in corpus.rows()}
    encoder = load_tokenizer(minilm)
    encoder.no_truncation()
    joined: dict[bytes, list[int]] = {}
    for piece, row in enumerate(pieces.row_ids):
        ids = pieces[piece].tolist()
        assert len(ids) <= 32
        joined.setdefault(row, []).extend(ids[1:-1])  # without [CLS] and [SEP]
    assert joined
    assert all(encoder.encode(texts[row]).ids[1:-1] == ids for row, ids in joined.items())
    assert pieces.cut == sum(len(ids) > 30 for ids in joined.values())


def test_loss_and_gradients_are_those_of_transformers(minilm, pieces):
    """The output layer sees hidden tokens only, and nothing changes."""
    from loomwork.learn.model_io import open_base

    made = [pieces.masked(piece, 0.15, 7, 0) for piece in range(6)]
    ids, seen = pad_rows([i for i, _ in made], 0)
    targets = pad_targets([t for _, t in made], IGNORED)
    found = []
    for ours in (True, False):
        model = open_base(minilm, "masked", dropout=0.0)
        if ours:
            count = int((targets != IGNORED).sum())
            loss = MaskedObjective(Outputs(model, torch.float32))(PaddedPart(ids, seen, targets, 1 / count, ()))
        else:
            loss = model(input_ids=ids, attention_mask=seen, labels=targets).loss
        loss.backward()
        found.append((loss.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    (loss, gradients), (their_loss, theirs) = found
    torch.testing.assert_close(loss, their_loss, atol=1e-5, rtol=1e-5)
    assert gradients.keys() == theirs.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, theirs[name], atol=1e-4, rtol=1e-3, msg=name)


def test_parts_are_smaller_where_the_vocabulary_is_large():
    assert fewer_for_logits(2048, 0.15, 30_522) == 2048
    assert 0 < fewer_for_logits(2048, 0.15, 250_002) * 0.15 * 250_002 <= HELD_LOGITS


def test_a_fresh_encoder_learns(months, run_step, tmp_path):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    folders = [tmp_path / name for name in ("words", "base")]
    for folder in folders:
        folder.mkdir()
    tokenizer(months, vocabulary=400, mask=True, out=folders[0])
    init(Tokenizer(folders[0]), architecture="bert", layers=2, context_tokens=32, out=folders[1])
    rows, training = Rows(steps=600, batch=16), Training(learning_rate=1e-3, warmup_share=0.1)
    model, card = run_step(
        pretrain_masked, base=Model(folders[1]), data=months, holdout=months, dropout=0.0, rows=rows,
        training=training,
    )  # fmt: skip
    assert card.metrics["best_holdout_loss"] < 0.5
    theirs = AutoModelForMaskedLM.from_pretrained(model.path, local_files_only=True).eval()
    words = AutoTokenizer.from_pretrained(model.path, local_files_only=True)
    assert words.mask_token == MASK
    inputs = words(f"March April{MASK} June July August", return_tensors="pt")
    with torch.no_grad():
        logits = theirs(**inputs).logits[0]
    (place,) = (inputs["input_ids"][0] == words.mask_token_id).nonzero().flatten().tolist()
    assert words.decode(logits[place].argmax()) == " May"
    about = read_about(model)
    assert about.task == "embed"
    assert about.trained_on == [{"dataset": months.digest, "columns": ["text"]}]
    assert load_encoder(model).embed(["May June"]).shape == (1, 128)
    long = max(months.rows(), key=lambda r: len(r["text"]))
    assert positions(model.path, bytes(long["row_id"]))


@pytest.mark.parametrize("adapter", ["lora", "prompt"])
def test_adapters(adapter, fresh, corpus, run_step):
    model, card = run_step(pretrain_masked, base=fresh, data=corpus, steps=2, batch=8, max_tokens=32, adapter=adapter)
    assert card.metrics["trained_parameters"] < card.metrics["parameters"]
    assert (model.path / "adapter" / "adapter_model.safetensors").is_file()


def test_an_output_layer_that_began_at_random_is_the_one_an_adapter_was_trained_on(minilm, corpus, run_step):
    from safetensors.torch import load_file

    from loomwork.learn.model_io import open_base

    given = dict(steps=1, batch=2, max_tokens=16, adapter="lora", learning_rate=1e-7, seed=3)
    model, _ = run_step(pretrain_masked, base=minilm, data=corpus, **given)
    name = "cls.predictions.transform.dense.weight"
    before = dict(open_base(minilm, "masked", seed=3).named_parameters())[name]
    after = load_file(model.file("model.safetensors"))[name]
    torch.testing.assert_close(after, before.detach(), atol=1e-4, rtol=0)


def test_killed_and_resumed_gives_the_same_bytes(fresh, corpus, run_step, tmp_path):
    given = dict(base=fresh, data=corpus, max_tokens=32, rows=Rows(steps=8, batch=8))
    stop = tmp_path / "stop"

    def watch(event: dict) -> None:
        if event["type"] == "progress" and event.get("unit") == "steps" and event["done"] == 3:
            stop.touch()

    with use_context(Context(threads=1, work_folder=tmp_path / "a")):
        whole, _ = run_step(pretrain_masked, **given)
    halted = Context(threads=1, work_folder=tmp_path / "b", stop_file=stop, report=watch)
    with use_context(halted), pytest.raises(Stopped, match=r"stopped at step [34] of 8"):
        run_step(pretrain_masked, **given)
    with use_context(Context(threads=1, work_folder=tmp_path / "b")):
        resumed, _ = run_step(pretrain_masked, **given)
    assert whole.id == resumed.id


def test_bad_input_is_refused(corpus, minilm, make_dataset, run_step, tmp_path):
    words, out = tmp_path / "words", tmp_path / "bert"
    words.mkdir()
    out.mkdir()
    tokenizer(corpus, vocabulary=300, out=words)
    init(Tokenizer(words), architecture="bert", layers=1, out=out)
    with pytest.raises(InputError, match="has no token that masks"):
        run_step(pretrain_masked, base=Model(out), data=corpus)
    with pytest.raises(InputError, match="no row has a text"):
        run_step(pretrain_masked, base=minilm, data=make_dataset([{"text": " "}, {"text": None}]))
    with pytest.raises(InputError, match="no column 'txt'"):
        run_step(pretrain_masked, base=minilm, data=corpus, text="txt")


def test_a_run_that_is_stopped_early_tells_the_steps_that_were_done(fresh, corpus, run_step):
    """With a rate that moves nothing, the second look finds nothing better."""
    how = {"rows": Rows(steps=8, batch=8), "learning_rate": 1e-30, "weight_decay": 0.0, "looks": 4, "patience": 1}
    model, card = run_step(pretrain_masked, base=fresh, data=corpus, holdout=corpus, max_tokens=32, **how)
    assert card.metrics["steps"] == read_about(model).training["steps"] == 4
    assert model.read_json("order/order.json")["steps"] == 4
    assert card.metrics["epochs"] == pytest.approx(4 * 8 / card.metrics["pieces"])
