"""recipes/curate.yaml on real pages and texts."""

import shutil
from pathlib import Path

import pytest

from loomwork.core.dataset import Dataset
from loomwork.core.home import Home, open_home
from loomwork.core.recipe import load_recipe
from loomwork.core.runner import RecipeRun, run_recipe

RECIPE = Path(__file__).parent.parent / "recipes" / "curate.yaml"
PAGES = 40


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return open_home(tmp_path_factory.mktemp("curate") / ".loom")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Some real pages, a book, a table and a file that no reader knows."""
    from tests.conftest import DATA

    if not DATA.is_dir():
        pytest.skip(f"no test data at {DATA}: set LOOMWORK_TEST_DATA")
    made = tmp_path_factory.mktemp("corpus")
    for page in sorted((DATA / "web" / "article-extraction" / "html").iterdir())[:PAGES]:
        shutil.copyfile(page, made / page.name)
    shutil.copyfile(DATA / "lm" / "wizard_of_oz.txt", made / "book.txt")
    shutil.copyfile(DATA / "lm" / "c4_demo.jsonl", made / "web.jsonl")
    (made / "notes.xyz").write_bytes(b"\x00\x01")
    return made


@pytest.fixture(scope="module")
def ran(home: Home, folder: Path) -> RecipeRun:
    return run_recipe(RECIPE, {"path": str(folder)}, home=home)


def dataset(home: Home, run: RecipeRun, step: str) -> Dataset:
    return home.store.open(run.steps[step].artifact, Dataset)


def test_it_ends_with_a_named_corpus(home, ran):
    assert not ran.failed
    assert [str(ruling.decision) for ruling in ran.rulings.values()] == ["first"]
    assert home.find("corpus@latest") == ran.steps["private"].artifact


def test_the_example_of_the_documentation_runs_after_it(home, ran, monkeypatch):
    text = (RECIPE.parents[1] / "docs" / "datasets.md").read_text("utf-8")
    (example,) = [block.split("```")[0] for block in text.split("```python\n")[1:] if "corpus.parts" in block]
    monkeypatch.delenv("LOOMWORK_HOME", raising=False)
    monkeypatch.chdir(home.root.parent)
    names: dict = {}
    exec(example, names)
    assert names["corpus"].parts[0] == "data"
    assert names["corpus"].table().num_rows == len(dataset(home, ran, "private"))


def test_every_step_accounts_for_every_row(home, ran):
    before = len(dataset(home, ran, "raw"))
    assert before > PAGES
    for step in ("clean", "good", "exact", "near", "passages", "private"):
        made = dataset(home, ran, step)
        dropped = len(made.select("dropped")) if "dropped" in made.parts else 0
        assert len(made) + dropped == before, step
        before = len(made)


def test_languages_stay_beside_the_rows_to_the_end(home, ran):
    rows = list(dataset(home, ran, "private").rows(["text", "detected", "source"]))
    assert {r["detected"] for r in rows} == {"en"}
    assert any("book.txt" in r["source"] for r in rows)


def test_nothing_is_done_twice_and_another_corpus_is_refused(home, ran, folder, tmp_path):
    again = run_recipe(RECIPE, {"path": str(folder)}, home=home)
    assert {n for n, s in again.steps.items() if s.status != "hit"} <= {"checked"}  # it has a baseline now
    lines = (folder / "book.txt").read_text("utf-8").splitlines()
    (tmp_path / "short.txt").write_text("\n".join(line for line in lines if len(line.split()) >= 10), "utf-8")
    other = run_recipe(RECIPE, {"path": str(tmp_path), "unit": "line"}, home=home)
    assert other.refused
    assert home.find("corpus@latest") == ran.steps["private"].artifact
    second = run_recipe(RECIPE, {"path": str(tmp_path), "unit": "line", "corpus": "lines"}, home=home)
    assert second.moved == {"lines@latest": other.steps["private"].artifact}


def test_of_copies_one_is_kept_and_names_of_speakers_stay(tmp_path):
    from tests.conftest import DATA

    if not DATA.is_dir():
        pytest.skip(f"no test data at {DATA}: set LOOMWORK_TEST_DATA")
    pages = tmp_path / "in"
    pages.mkdir()
    story = (DATA / "lm" / "wizard_of_oz.txt").read_text("utf-8")[2000:4000]
    for i in range(6):
        (pages / f"copy{i}.txt").write_text(story)
    for i in range(14):
        body = (DATA / "lm" / "wizard_of_oz.txt").read_text("utf-8")[5000 + 1500 * i : 6000 + 1500 * i]
        (pages / f"page{i}.txt").write_text(f"Home | News | About us\n{body}\n" + ("ROMEO:\nspeaks\n" if i < 5 else ""))
    ended = run_recipe(RECIPE, {"path": str(pages)}, home=open_home(tmp_path / ".loom"))
    texts = [r["text"] for r in dataset(open_home(tmp_path / ".loom"), ended, "private").rows()]
    assert sum(" ".join(story.split())[100:200] in " ".join(t.split()) for t in texts) == 1
    assert not any("About us" in t for t in texts)  # in 14 of 20 documents
    assert sum("ROMEO:" in t for t in texts) == 5  # in 5 of 20


def test_settings_are_known_before_anything_runs():
    assert "known" in load_recipe(RECIPE, {"keep": "true"}).steps
