"""Good and bad examples of the user's: messages, and spam among them."""

from __future__ import annotations

import json

import pytest

from loomwork.core.errors import InputError
from loomwork.data.filter import filter


@pytest.fixture(scope="module")
def messages(test_data):
    lines = (test_data / "classification/sms_spam.tsv").read_text(encoding="utf-8").splitlines()
    return list(dict.fromkeys(tuple(line.split("\t", 1)) for line in lines if "\t" in line))


@pytest.fixture(scope="module")
def examples(messages, tmp_path_factory):
    """The first half of the messages, each kind in a file of its own."""
    folder = tmp_path_factory.mktemp("examples")
    half = messages[: len(messages) // 2]
    for kind in ("ham", "spam"):
        rows = [json.dumps({"text": text}) for label, text in half if label == kind]
        (folder / f"{kind}.jsonl").write_text("\n".join(rows))
    return {"good": str(folder / "ham.jsonl"), "bad": str(folder / "spam.jsonl")}


def test_spam_is_dropped_and_the_card_says_how_well(messages, examples, make_dataset, run_step, capsys):
    rest = [{"text": text, "label": label} for label, text in messages[len(messages) // 2 :]]
    kept, card = run_step(filter, data=make_dataset(rest), rules=[{"quality_classifier": examples}])
    dropped = [r["label"] for r in kept.select("dropped").rows()]
    left = [r["label"] for r in kept.rows()]
    metrics = {k.removeprefix("quality_classifier: "): v for k, v in card.metrics.items()}
    spam_found = dropped.count("spam") / (dropped + left).count("spam")
    ham_lost = dropped.count("ham") / (dropped + left).count("ham")
    with capsys.disabled():
        print(f"\n  {card.notes[0]}; of unseen messages {spam_found:.1%} of spam dropped, {ham_lost:.1%} of the others")
    assert len(dropped) + len(left) == len(rest)
    assert spam_found > 0.85
    assert ham_lost < 0.02
    assert metrics["held-out AUC, low"] <= metrics["held-out AUC"] <= metrics["held-out AUC, high"]
    assert metrics["held-out AUC"] > 0.97
    assert metrics["held-out bad dropped"] == pytest.approx(spam_found, abs=0.06)
    assert metrics["held-out good dropped"] == pytest.approx(ham_lost, abs=0.02)
    assert card.notes[0].startswith("quality_classifier: AUC on held-out examples 0.9")
    assert all(
        r["reason"].startswith("quality_classifier (like the bad examples): 0.") for r in kept.select("dropped").rows()
    )


def test_the_held_out_auc_holds_for_messages_never_seen(messages, examples, make_dataset, run_step):
    """The interval that cross-fitting gives, against the AUC on the other half of the data."""
    from sklearn.metrics import roc_auc_score

    rest = [{"text": text, "label": label} for label, text in messages[len(messages) // 2 :]]
    rule = {"quality_classifier": {**examples, "min_score": 1.0}}  # all are dropped, and the reasons hold the scores
    kept, card = run_step(filter, data=make_dataset(rest), rules=[rule])
    rows = list(kept.select("dropped").rows())
    scores = [float(r["reason"].rpartition(": ")[2]) for r in rows]
    seen = roc_auc_score([r["label"] == "ham" for r in rows], scores)
    low, high = (card.metrics[f"quality_classifier: held-out AUC, {end}"] for end in ("low", "high"))
    assert low - 0.01 <= seen <= high + 0.01


def test_halves_of_one_kind_cannot_be_told_apart(messages, make_dataset, run_step, tmp_path):
    ham = [text for label, text in messages if label == "ham"][:1200]
    for name, part in (("good", ham[::2]), ("bad", ham[1::2])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in part))
    rule = {"quality_classifier": {name: str(tmp_path / f"{name}.jsonl") for name in ("good", "bad")}}
    _, card = run_step(filter, data=make_dataset([{"text": "hello"}]), rules=[rule])
    low, high = (card.metrics[f"quality_classifier: held-out AUC, {end}"] for end in ("low", "high"))
    assert low < 0.53
    assert high > 0.47


def test_a_text_without_words_is_judged_by_nothing(examples, make_dataset, run_step):
    rows = [{"text": ""}, {"text": None}, {"text": "!!"}]
    kept, _ = run_step(filter, data=make_dataset(rows), rules=[{"quality_classifier": examples}])
    assert kept.table().num_rows == 3


def test_too_few_or_the_same_examples_are_refused(examples, make_dataset, run_step, tmp_path):
    (tmp_path / "few.txt").write_text("one\n\ntwo\n\nthree\n")
    data = make_dataset([{"text": "a"}])
    with pytest.raises(InputError, match="3 different bad examples"):
        run_step(filter, data=data, rules=[{"quality_classifier": {**examples, "bad": str(tmp_path / "few.txt")}}])
    with pytest.raises(InputError, match=r"0 different good examples, \d+ texts are examples of both"):
        run_step(filter, data=data, rules=[{"quality_classifier": {**examples, "bad": examples["good"]}}])
    with pytest.raises(InputError, match=r"min_score is 7\.0; should be less"):
        run_step(filter, data=data, rules=[{"quality_classifier": {**examples, "min_score": 7.0}}])
