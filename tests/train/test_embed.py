"""Contrastive fine-tuning of a small BERT; the real MiniLM's gain is measured by the quickstart recipe."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.core.errors import InputError
from loomwork.learn.contrastive import contrastive_loss
from loomwork.models.encoder import load_encoder
from loomwork.train.embed import embed

WORDS = ["merge", "sort", "list", "file", "read", "write", "time", "zone", "path", "copy"]
WORDS += ["hash", "byte", "text", "line", "split", "join", "queue", "lock", "thread", "date"]
ROWS = [
    {"query": f"{a} the {b}", "passage": f"{b}_{a}(x, y) gives back what the {a} of a {b} is"}
    for a in WORDS
    for b in WORDS[:8]
]


@pytest.fixture
def small(small_bert) -> Model:
    return small_bert


def mean_reciprocal_rank(model: Model) -> float:
    encoder = load_encoder(model)
    scores = encoder.embed([r["query"] for r in ROWS]) @ encoder.embed([r["passage"] for r in ROWS]).T
    return float((1 / (1 + (scores > scores.diagonal()[:, None]).sum(1))).mean())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_learns_and_two_runs_give_the_same_bytes(small, make_dataset, run_step, tmp_path, precision):
    data = make_dataset(ROWS)
    found = []
    for run in "ab":
        with use_context(Context(work_folder=tmp_path / run, threads=1, precision=precision)):
            model, card = run_step(
                embed, base=small, data=data, freeze_layers=1, steps=25, learning_rate=3e-3, batch=32
            )
        found.append(model)
    assert [p.name for p in sorted(found[0].path.iterdir())] == [p.name for p in sorted(found[1].path.iterdir())]
    assert found[0].id == found[1].id
    assert card.metrics["pairs"] == len(ROWS)
    assert mean_reciprocal_rank(found[0]) > mean_reciprocal_rank(small) + 0.1


def test_frozen_weights_stay_bit_for_bit_and_the_others_change(small, make_dataset, run_step, tmp_path):
    with use_context(Context(work_folder=tmp_path / "w", threads=1, precision="bfloat16")):
        model, _ = run_step(embed, base=small, data=make_dataset(ROWS), freeze_layers=1, steps=2, batch=16)
    old, new = load_file(small.file("model.safetensors")), load_file(model.file("model.safetensors"))
    assert old.keys() == new.keys()
    changed = {n for n in old if not torch.equal(old[n], new[n])}
    assert changed
    assert all(n.startswith("encoder.layer.1.") for n in changed)
    assert all(t.dtype == old[n].dtype for n, t in new.items())


def test_kept_states_and_states_computed_anew_train_alike(small, make_dataset, run_step, tmp_path, monkeypatch):
    data, found = make_dataset(ROWS), []
    for limit in (1 << 30, 0):
        monkeypatch.setattr("loomwork.learn.frozen.KEPT_BYTES", limit)
        work = tmp_path / str(limit)
        with use_context(Context(work_folder=work, threads=1)):
            model, _ = run_step(embed, base=small, data=data, freeze_layers=1, steps=20, batch=16)
        assert any(work.glob("states-*")) == bool(limit)
        found.append(load_encoder(model).embed([r["query"] for r in ROWS]))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_everything_can_be_trained_and_stopped_midway(small, make_dataset, run_step, tmp_path):
    data, stop = make_dataset(ROWS), tmp_path / "stop"
    with use_context(Context(work_folder=tmp_path / "a", threads=1)):
        whole, _ = run_step(embed, base=small, data=data, freeze_layers=None, steps=6, batch=16, dropout=0.1)

    def watch(event: dict) -> None:
        if event["type"] == "progress" and event["done"] == 3:
            stop.touch()

    with use_context(Context(work_folder=tmp_path / "b", threads=1, stop_file=stop, report=watch)):
        with pytest.raises(Exception, match=r"stopped at step [34] of 6"):
            run_step(embed, base=small, data=data, freeze_layers=None, steps=6, batch=16, dropout=0.1)
        stop.unlink()
    with use_context(Context(work_folder=tmp_path / "b", threads=1)):
        resumed, _ = run_step(embed, base=small, data=data, freeze_layers=None, steps=6, batch=16, dropout=0.1)
    assert whole.id == resumed.id
    words = "embeddings.word_embeddings.weight"
    assert not torch.equal(
        load_file(whole.file("model.safetensors"))[words], load_file(small.file("model.safetensors"))[words]
    )


def test_the_result_opens_in_transformers(small, make_dataset, run_step):
    from transformers import AutoModel

    model, _ = run_step(embed, base=small, data=make_dataset(ROWS), freeze_layers=1, steps=2, batch=16)
    assert AutoModel.from_pretrained(model.path).config.hidden_size == 32


def test_rows_with_an_empty_side_are_left_out_and_counted(small, make_dataset, run_step):
    data = make_dataset([*ROWS[:20], {"query": " ", "passage": "x"}, {"query": "x", "passage": None}])
    _, card = run_step(embed, base=small, data=data, freeze_layers=1, steps=1, batch=8)
    assert (card.metrics["pairs"], card.metrics["pairs_left_out"]) == (20, 2)


def test_bad_input_is_refused_before_training(small, make_dataset, run_step, tmp_path):
    data = make_dataset(ROWS[:10])
    with pytest.raises(InputError, match="no column 'qery'"):
        run_step(embed, base=small, data=data, query="qery")
    with pytest.raises(InputError, match="10 usable pairs, fewer than a batch of 48"):
        run_step(embed, base=small, data=data)
    with pytest.raises(InputError, match="the model has 2 layers"):
        run_step(embed, base=small, data=data, batch=4, freeze_layers=2)
    shutil.copytree(small.path, tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps(config | {"model_type": "roberta"}))
    with pytest.raises(InputError, match="'roberta'"):
        run_step(embed, base=Model(tmp_path / "other"), data=data, batch=4)


def test_the_loss_is_the_published_one_and_leaves_false_negatives_out():
    torch.manual_seed(0)
    queries, passages = (torch.nn.functional.normalize(torch.randn(5, 8, dtype=torch.float64), dim=1) for _ in range(2))
    scores = 20 * queries @ passages.T
    both = torch.log_softmax(scores, 1).diagonal() + torch.log_softmax(scores, 0).diagonal()
    torch.testing.assert_close(contrastive_loss(queries, passages, 20.0), -both.mean() / 2)
    same = torch.eye(5, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    masked = contrastive_loss(queries, passages, 20.0, same)
    hidden = scores.clone()
    hidden[0, 1] = hidden[1, 0] = -1e9
    both = torch.log_softmax(hidden, 1).diagonal() + torch.log_softmax(hidden, 0).diagonal()
    torch.testing.assert_close(masked, -both.mean() / 2)


def test_two_runs_that_share_a_work_folder_do_not_take_each_others_checkpoint(small, make_dataset, run_step, tmp_path):
    def weights(folder, seed):
        with use_context(Context(work_folder=tmp_path / folder, threads=1)):
            model, _ = run_step(
                embed, base=small, data=make_dataset(ROWS), freeze_layers=1, steps=5, batch=16, seed=seed
            )
        return (model.path / "model.safetensors").read_bytes()

    alone = weights("alone", 2)
    assert weights("shared", 1) != alone
    assert weights("shared", 2) == alone


def test_watched_on_held_out_pairs(small, make_dataset, run_step, tmp_path):
    """The weights that are saved have the figures that are told of them, and patience goes by the rank."""
    rows = ROWS[::4]  # one batch
    held = make_dataset(rows)
    how = {"base": small, "data": make_dataset(ROWS[1::2]), "freeze_layers": 1, "batch": 40, "learning_rate": 3e-3}
    with use_context(Context(work_folder=tmp_path / "w", threads=1, precision="float32")):
        model, card = run_step(embed, holdout=held, steps=60, looks=30, patience=3, stop_on="mrr_in_batch", **how)
    assert card.metrics["best_holdout_mrr_in_batch"] == card.metrics["holdout_mrr_in_batch"]
    assert card.metrics["steps"] <= 60
    encoder = load_encoder(model)
    queries, passages = (encoder.embed([r[side] for r in rows]) for side in ("query", "passage"))
    scores = queries @ passages.T
    same = np.array([[a["query"] == b["query"] or a["passage"] == b["passage"] for b in rows] for a in rows])
    ranks = 1 + ((scores >= scores.diagonal()[:, None]) & ~same).sum(1)
    assert card.metrics["holdout_mrr_in_batch"] == pytest.approx(float((1 / ranks).mean()), abs=1e-3)
    with pytest.raises(InputError, match="fewer than a batch"):
        run_step(embed, holdout=make_dataset(rows[:3]), **how)
