"""Against the definition, and against lm-evaluation-harness itself where it is installed."""

from __future__ import annotations

import json
import math

import pytest

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.evals.perplexity import BITS, BYTE, TOKEN, WORD, perplexity
from loomwork.evals.run_task import run_task
from loomwork.evals.side_by_side import side_by_side
from loomwork.models.decoder import load_decoder

TEXTS = [
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.",
    "Tom and his dog went to the lake.  They saw a big fish and were very happy.\n",
    "One day, a bird flew over the house. " * 60,
]


@pytest.fixture
def documents(make_dataset):
    return make_dataset([{"text": t, "book": str(i // 2)} for i, t in enumerate(TEXTS)])


def by_hand(model: Model) -> list[float]:
    """Each text in windows of 512 that overlap by one token."""
    import torch

    decoder = load_decoder(model, threads=1)
    totals = []
    for text in TEXTS:
        ids, total = decoder.tokenizer(text)["input_ids"], 0.0
        for start in range(0, len(ids), 512):
            end = min(start + 512, len(ids))
            read = [1, *ids[: end - 1]] if start == 0 else ids[end - 513 : end - 1]
            with torch.inference_mode():
                log_p = decoder.model(torch.tensor([read])).logits[0, -(end - start) :].double().log_softmax(-1)
            total += float(log_p.gather(1, torch.tensor(ids[start:end])[:, None]).sum())
        totals.append(total)
    return totals


def test_perplexities_are_those_of_the_definition(documents, stories, run_step):
    found, card = run_step(perplexity, data=documents, model=stories)
    totals = by_hand(stories)
    assert found.items().column("log_probability").to_pylist() == pytest.approx(totals, abs=1e-3)
    words = sum(len(t.split()) + (t != t.strip()) for t in TEXTS)  # a space at an end makes an empty word, as there
    size = sum(len(t.encode()) for t in TEXTS)
    assert found.score(WORD).value == pytest.approx(math.exp(-sum(totals) / words), rel=1e-5)
    assert found.score(BYTE).value == pytest.approx(math.exp(-sum(totals) / size), rel=1e-5)
    assert found.score(BITS).value == pytest.approx(-sum(totals) / size / math.log(2), rel=1e-5)
    tokens = sum(found.items().column("tokens").to_pylist())
    assert found.score(TOKEN).value == pytest.approx(math.exp(-sum(totals) / tokens), rel=1e-5)
    for score in found.scores:
        assert score.interval.low <= score.value <= score.interval.high
        assert score.contamination == "unknown"
        assert score.n == 3
    assert "exponentiated" in found.score(WORD).interval.method
    assert card.metrics["failed"] == 0
    assert any("packed" in note for note in card.notes)


def test_the_harness_gives_the_same(stories, documents, run_step):
    pytest.importorskip("lm_eval.models.huggingface", reason="lm-eval, or accelerate with it, is not installed")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    decoder = load_decoder(stories, threads=1)
    lm = HFLM(pretrained=decoder.model, tokenizer=decoder.tokenizer, device="cpu")
    asked = [Instance("loglikelihood_rolling", {}, (t,), n) for n, t in enumerate(TEXTS)]
    theirs = lm.loglikelihood_rolling(asked, disable_tqdm=True)
    found, _ = run_step(perplexity, data=documents, model=stories)
    assert found.items().column("log_probability").to_pylist() == pytest.approx(theirs, abs=1e-3)


def test_a_rolled_task_has_the_same_values_and_intervals(documents, stories, run_step, tmp_path):
    task = "task: t\ndataset_path: given\ntest_split: test\noutput_type: loglikelihood_rolling\n"
    (tmp_path / "t.yaml").write_text(task + 'doc_to_text: ""\ndoc_to_target: "{{text}}"\n')
    ours, _ = run_step(perplexity, data=documents, model=stories)
    theirs, _ = run_step(run_task, data=documents, model=stories, task=str(tmp_path / "t.yaml"))
    for name, other in ((WORD, "word_perplexity"), (BYTE, "byte_perplexity"), (BITS, "bits_per_byte")):
        one, two = ours.score(name), theirs.score(other)
        assert two.value == pytest.approx(one.value)
        assert (two.interval.low, two.interval.high) == pytest.approx((one.interval.low, one.interval.high))
        assert two.interval.method == one.interval.method
        assert two.interval.low >= (0 if name == BITS else 1)


def test_texts_without_spaces_have_no_word_perplexity(stories, make_dataset, run_step):
    """One word of thousands of nats: its exponential is no number, and the others are given all the same."""
    found, card = run_step(
        perplexity, data=make_dataset([{"text": "今天天气很好" * n} for n in (60, 70)]), model=stories
    )
    assert [s.name for s in found.scores] == [BYTE, TOKEN, BITS]
    assert any("word perplexity is too large" in note for note in card.notes)


def test_clusters_and_shorter_windows(documents, stories, run_step):
    found, _ = run_step(perplexity, data=documents, model=stories, cluster="book", max_tokens=64)
    whole, _ = run_step(perplexity, data=documents, model=stories)
    assert (found.score(WORD).n_clusters, found.score(WORD).cluster_unit) == (2, "book")
    assert found.score(BITS).value > whole.score(BITS).value
    assert found.score(BITS).settings != whole.score(BITS).settings


def test_other_settings_are_told_of_where_they_are_compared(documents, stories, run_step):
    scores = {str(size): run_step(perplexity, data=documents, model=stories, max_tokens=size)[0] for size in (None, 64)}
    made, card = run_step(side_by_side, scores=scores, baseline="None")
    told = made.read_json("comparison.json")["settings"]
    assert told["differ"] == ["max_tokens"]
    assert told["of"]["64"]["max_tokens"] == 64
    assert "other settings: max_tokens: not set in None, 64 in 64" in card.notes
    page = (made.path / "page.html").read_text("utf-8")
    assert "Not all were scored alike: max_tokens: not set in None, 64 in 64." in page
    assert "windows" in page[page.index('id="settings"') :]


def test_training_text_is_looked_through(documents, stories, make_dataset, run_step):
    training = make_dataset([{"text": "Nothing of the kind."}])
    found, card = run_step(perplexity, data=documents, model=stories, seen=[training])
    assert "0 of 3 items share" in found.score().contamination_note
    assert found.score().contamination == "unknown"  # the model saw more than this
    assert card.metrics["items_in_training_data"] == 0


def test_a_killed_evaluation_reads_its_answers_again(documents, stories, run_step, tmp_path):
    with use_context(Context(work_folder=tmp_path / "work")):
        _, first = run_step(perplexity, data=documents, model=stories)
        again, second = run_step(perplexity, data=documents, model=stories)
    assert first.metrics["tokens_computed"] > 0
    assert second.metrics["tokens_computed"] == 0
    assert second.metrics["kept"] > 3  # windows
    whole, _ = run_step(perplexity, data=documents, model=stories)
    assert again.score(WORD).value == pytest.approx(whole.score(WORD).value, rel=1e-5)


def test_documents_that_an_endpoint_does_not_answer_for_are_left_out_and_counted(
    documents, run_step, tmp_path, refusing_endpoint
):
    about = {"task": "generate", "engine": "http", "endpoint": {"url": refusing_endpoint, "model": "m", "attempts": 1}}
    (tmp_path / "loomwork.json").write_text(json.dumps(about))
    found, card = run_step(perplexity, data=documents, model=Model(tmp_path))
    assert card.metrics["failed"] == 1
    assert "1 of 3 documents failed and are left out: 400" in card.notes[0]
    assert {(s.n, s.failed) for s in found.scores} == {(2, 1)}
    assert found.score(BITS).value == pytest.approx(1 / math.log(2))  # one nat a byte
    assert [f is None for f in found.items().column("failed").to_pylist()] == [True, False, True]
    assert found.items().column("log_probability").null_count == 1
