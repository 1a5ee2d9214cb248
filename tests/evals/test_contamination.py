"""Test items looked for in training data: what counts as found, which word a score says, and what the ledger adds."""

from __future__ import annotations

import pytest

from loomwork.core.artifact import Model
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe
from loomwork.core.score import Scores
from loomwork.evals._contamination import look
from loomwork.models.folder import About, save_about, taught

WORDS = [f"w{i}" for i in range(60)]


def run(start: int, end: int) -> str:
    return " ".join(WORDS[start:end])


@pytest.fixture
def model(tmp_path):
    """A folder that says what a model was trained on; nothing here opens its weights."""

    def make(**fields) -> Model:
        folder = tmp_path / f"model{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        save_about(folder, About("generate", **fields))
        return Model(folder)

    return make


def test_a_run_of_13_words_counts_and_a_whole_short_item(make_dataset):
    training = make_dataset([{"text": run(0, 20)}, {"text": run(20, 40)}])
    items = [run(0, 14), run(10, 30), run(5, 15), run(2, 9) + " else", run(20, 33).upper() + ", new!", run(0, 5)]
    found = look(items, None, learned=(training, "text"))
    assert found.found.tolist() == [True, False, True, False, True, False]
    assert found.clean.tolist() == [False, True, False, True, False, False]  # the last is too short to tell
    assert found.columns["longest_shared_run"].to_pylist() == [14, 10, 10, 7, 13, 5]
    assert found.columns["overlap_13"].to_pylist() == [1, 0, None, None, 0.5, None]
    assert found.columns["overlap_8"].to_pylist()[:2] == [1, (3 + 3) / 13]
    assert found.columns["shared_run"][4].as_py() == run(20, 33).upper()
    assert found.word == "clean subset given"
    assert "3 of 6 items share" in found.note
    assert found.metrics == {"items_in_training_data": 3, "items_too_short_to_tell": 1}


def test_the_word_is_unknown_where_anything_is_unknown(make_dataset, model):
    seen, other = make_dataset([{"text": run(0, 20), "note": run(30, 50)}]), make_dataset([{"text": run(20, 40)}])
    items = [run(0, 14), run(20, 34), run(40, 56), run(41, 57)]
    base = About("generate", training_data=[])

    def word(data, **fields) -> tuple[str, int, str]:
        found = look(items, None, model=model(**fields), seen=data)
        return found.word, -1 if found.found is None else int(found.found.sum()), found.note

    assert word([seen], training_data=[], trained_on=taught(base, seen, "text"))[:2] == ("clean subset given", 1)
    # what a loss was only watched on is no training data
    assert word([seen, other], training_data=[], trained_on=taught(base, seen, "text"))[:2] == ("clean subset given", 1)
    got = word([seen], training_data=None, trained_on=taught(base, seen, "text"))
    assert got[:2] == ("unknown", 1)
    assert "what its base was trained on is unknown" in got[2]
    got = word([seen], training_data=["c4"], trained_on=taught(base, seen, "text"))
    assert got[:2] == ("unknown", 1)
    assert "c4" in got[2]
    got = word([seen], training_data=[], trained_on=taught(base, other, "text"))
    assert got[:2] == ("unknown", -1)
    assert "1 of the datasets" in got[2]
    assert word(None, training_data=None)[:2] == ("unknown", -1)
    assert word([seen], training_data=None)[:2] == ("unknown", 1)  # a step that does not say what it learned
    nothing = look([run(56, 60) + " " + run(1, 9)], None, learned=(other, "text"))
    assert (nothing.word, nothing.clean) == ("checked", None)


def test_a_question_is_known_whatever_wrong_choices_stand_beside_it(make_dataset):
    training = make_dataset([{"text": f"Question: {run(0, 9)}\nAnswer: yes"}, {"text": run(20, 40)}])
    items = [[run(0, 9), "no", "perhaps"], [run(41, 50), "yes"], ["yes"]]
    found = look(items, None, learned=(training, "text"))
    assert found.found.tolist() == [True, False, False]
    assert found.columns["longest_shared_run"].to_pylist() == [9, 1, 1]
    assert found.short == 1


def test_what_was_not_read_or_is_too_short_is_never_called_checked(make_dataset, tmp_path):
    import pyarrow as pa

    from loomwork.core.dataset import Dataset, DatasetWriter

    short = look([run(0, 3)] * 9 + [run(20, 34)], None, learned=(make_dataset([{"text": run(40, 60)}]), "text"))
    assert short.word == "unknown"
    words = pa.array([run(0, 20), run(20, 40)])
    for name, column, word in (
        ("dictionary", words.dictionary_encode(), "clean subset given"),
        ("bytes", words.cast(pa.binary()), "unknown"),
    ):
        (tmp_path / name).mkdir()
        with DatasetWriter(tmp_path / name) as writer:
            writer.write(pa.table({"text": column}))
        found = look([run(0, 14), run(30, 44), run(41, 55)], None, learned=(Dataset(tmp_path / name), "text"))
        assert found.word == word, name


def test_no_clean_subset_of_one_cluster(make_dataset):
    training = make_dataset([{"text": run(0, 20)}])
    found = look([run(0, 14), run(20, 34), run(30, 44)], ["a", "b", "b"], learned=(training, "text"))
    assert (found.word, found.clean) == ("unknown", None)


def test_turns_of_a_conversation_are_looked_through(make_dataset, model):
    turns = [{"role": "user", "content": run(0, 15)}, {"role": "assistant", "content": run(20, 40)}]
    seen = make_dataset([{"messages": turns}])
    told = model(training_data=[], trained_on=taught(About("generate"), seen, "messages"))
    assert look([run(20, 34), run(40, 55)], None, model=told, seen=[seen]).found.tolist() == [True, False]


def pages_of_words(count: int) -> list[str]:
    return [" ".join(f"{word}{i * 7 % (j + 3)}" for j, word in enumerate(WORDS)) for i in range(count)]


def test_a_student_may_have_learned_what_its_teacher_has(tmp_path):
    """Also where it only saw the log-probabilities that the teacher left."""
    pages = pages_of_words(30)
    for name, some in {"taught": pages[:12], "read": pages[12:24], "test": [*pages[24:], pages[3], pages[14]]}.items():
        (tmp_path / name).mkdir()
        for i, page in enumerate(some):
            (tmp_path / name / f"{i:02}.txt").write_text(page)
    size = {"tokens": 1500, "batch_tokens": 512}
    steps = {name: {"use": "data.read", "path": f"{tmp_path}/{name}/*.txt"} for name in ("taught", "read", "test")} | {
        "words": {"use": "train.tokenizer", "data": "$read", "vocabulary": 300},
        "base": {"use": "train.init", "tokenizer": "$words", "layers": 2, "context_tokens": 64},
        "teacher": {"use": "train.pretrain", "base": "$base", "data": "$taught", **size},
        "said": {"use": "train.teacher", "teacher": "$teacher", "data": "$read"},
        "small": {"use": "train.init", "tokenizer": "$words", "layers": 1, "context_tokens": 64},
        "student": {"use": "train.distill", "base": "$small", "cached": "$said", "data": "$read", "steps": 3},
        "bits": {"use": "evals.bits_per_byte", "data": "$test", "model": "$student"},
    }
    home = Home(tmp_path / "home")
    done = run_recipe({"recipe": "told", "steps": steps}, home=home)
    assert {s.status for s in done.steps.values()} == {"ran"}, [s.error for s in done.steps.values()]
    whole, clean = home.store.open(done.steps["bits"].artifact, Scores).scores
    assert (whole.contamination, whole.n - clean.n) == ("clean subset given", 2)


def test_the_ledger_brings_the_training_data_without_being_asked(tmp_path):
    """A model trained from nothing: its evaluation reads its training data, and says what of the test stands in it."""
    pages = pages_of_words(40)
    train, test = tmp_path / "train.txt", tmp_path / "test.txt"
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    for i, page in enumerate(pages[:30]):
        (tmp_path / "train" / f"{i:02}.txt").write_text(page)
    fresh = [page.replace("w", "v") for page in pages[30:34]]
    for i, page in enumerate([*fresh, pages[3], pages[4]]):
        (tmp_path / "test" / f"{i}.txt").write_text(page)
    recipe = {
        "recipe": "leak",
        "steps": {
            "train": {"use": "data.read", "path": f"{train.parent}/train/*.txt"},
            "test": {"use": "data.read", "path": f"{test.parent}/test/*.txt"},
            "words": {"use": "train.tokenizer", "data": "$train", "vocabulary": 300},
            "base": {"use": "train.init", "tokenizer": "$words", "layers": 1, "context_tokens": 64},
            "model": {
                "use": "train.pretrain", "base": "$base", "data": "$train", "holdout": "$test",
                "tokens": 2000, "batch_tokens": 512,
            },
            "bits": {"use": "evals.bits_per_byte", "data": "$test", "model": "$model"},
        },
    }  # fmt: skip
    home = Home(tmp_path / "home")
    done = run_recipe(recipe, home=home)
    assert {s.status for s in done.steps.values()} == {"ran"}, [s.error for s in done.steps.values()]
    scores = home.store.open(done.steps["bits"].artifact, Scores)
    whole, clean = scores.scores
    assert (whole.contamination, whole.n, clean.n) == ("clean subset given", 6, 4)
    assert clean.name == "bits per byte, clean subset"
    edges = home.ledger.edges(done.steps["bits"].run)
    read = {e["role"]: e["artifact"] for e in edges if e["direction"] == "in"}
    assert {read["seen.0"], read["seen.1"]} == {done.steps["train"].artifact, done.steps["test"].artifact}
    assert {s.status for s in run_recipe(recipe, home=home).steps.values()} == {"hit"}
