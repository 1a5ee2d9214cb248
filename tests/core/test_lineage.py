"""Artifacts along runs, rows along their origins, forgetting, and making things again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from loomwork.core import schema
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.explain import diff, plan, why_it_ran
from loomwork.core.forget import forget, plan_forget
from loomwork.core.home import Home
from loomwork.core.ledger import Made, Used
from loomwork.core.lineage import lineage
from loomwork.core.recipe import load_recipe
from loomwork.core.remake import remake
from loomwork.core.runner import run_recipe
from loomwork.core.step import Card
from loomwork.core.trace import trace_row
from loomwork.core.upkeep import collect_garbage, verify

S = "tests.core.runner_steps:"


def recipe(lines: Path) -> dict:
    return {
        "recipe": "mini",
        "steps": {
            "raw": {"use": S + "read_lines", "path": str(lines)},
            "upper": {"use": S + "upper", "data": "$raw", "keep": "a"},
            "other": {"use": S + "upper", "data": "$raw", "keep": "ch"},
            "model": {"use": S + "train", "data": "$upper"},
            "model2": {"use": S + "train", "data": "$other"},
            "gate": {"use": S + "judge", "model": "$model"},
        },
        "gate": "$gate",
        "name": {"mini@champion": "$model", "mini@data": "$upper"},
    }


def row(home: Home, artifact: str, text: str, part: str = "data") -> str:
    data = home.store.open(artifact, Dataset, part)
    return next(r["row_id"].hex() for r in data.rows() if r["text"] == text)


def test_lineage_of_an_artifact_both_ways(home, lines):
    run = run_recipe(recipe(lines), home=home)
    graph = lineage(home, run.steps["model"].artifact)
    assert {n.name for n in graph.nodes.values()} == {"raw", "upper", "model", "gate"}
    names = {r: n.name for r, n in graph.nodes.items()}
    assert sorted((names[a], names[b]) for a, b, _, _ in graph.edges) == [
        ("model", "gate"),
        ("raw", "upper"),
        ("upper", "model"),
    ]
    assert graph.nodes[run.steps["model"].run].names == ("mini@champion",)
    assert {n.name for n in lineage(home, run.steps["model"].artifact, down=False).nodes.values()} == {
        "raw",
        "upper",
        "model",
    }
    assert {n.name for n in lineage(home, run.steps["raw"].artifact, up=False).nodes.values()} == set(run.steps)
    with pytest.raises(InputError, match="no run"):
        lineage(home, "0" * 64)


@pytest.mark.parametrize("seed", range(4))
def test_edges_followed_here_or_by_the_database_are_the_same(home, monkeypatch, seed):
    """And both are what a plain search through a random graph finds, either way."""
    choose = random.Random(seed)
    reads = [sorted(choose.sample(range(i), min(i, choose.randrange(4)))) for i in range(40)]
    runs: list[str] = []
    for i, above in enumerate(reads):
        used = {f"in.{j}": Used(f"{j:064x}", "", runs[j]) for j in above}
        runs.append(str(home.ledger.begin("s", f"k{i}", {}, used, name=str(i))))
        home.ledger.finish(runs[-1], Made(f"{i:064x}", "x", 1), Card())

    def reached(start: int, near: dict[int, set[int]]) -> set[int]:
        return {start}.union(*(reached(n, near) for n in near[start]))

    up = {i: set(above) for i, above in enumerate(reads)}
    down = {i: {j for j, above in enumerate(reads) if i in above} for i in range(40)}
    for start in (0, 7, 20, 39):
        graphs = []
        for limit in (0, 1000):
            monkeypatch.setattr("loomwork.core.lineage.FOLLOWED_HERE", limit)
            graphs.append(lineage(home, f"{start:064x}"))
            for ways, near in (({"down": False}, up), ({"up": False}, down)):
                found = lineage(home, f"{start:064x}", **ways)
                assert {int(n.name) for n in found.nodes.values()} == reached(start, near)
        assert graphs[0].nodes == graphs[1].nodes
        assert graphs[0].edges == graphs[1].edges


def test_two_runs_that_made_the_same_bytes_keep_their_own_lineage(home, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lines.txt").write_text("apple\nzzz\n" if name == "a" else "apple\nyyy\n")
        one = {
            "raw": {"use": S + "read_lines", "path": str(tmp_path / name / "lines.txt")},
            "up": {"use": S + "upper", "data": "$raw", "keep": "a"},
        }
        one["model"] = {"use": S + "train", "data": "$up"}
        run = run_recipe({"recipe": name, "steps": one}, home=home)
        if name == "a":
            first = run
    assert run.steps["model"].status == "hit"  # only what was dropped differs
    graph = lineage(home, run.steps["model"].artifact, down=False)
    assert first.steps["raw"].run in graph.nodes
    assert run.steps["raw"].run not in graph.nodes


def test_a_row_is_followed_up_to_its_line_and_down_to_all_that_it_touched(home, lines):
    run = run_recipe(recipe(lines), home=home)
    banana = row(home, run.steps["raw"].artifact, "banana")
    made = row(home, run.steps["upper"].artifact, "BANANABANANA")
    up = trace_row(home, made)
    assert [(p.artifact, [r.hex() for r in p.rows]) for p in up.origins] == [(run.steps["raw"].artifact, [banana])]
    assert up.content["text"] == "BANANABANANA"
    assert {t.name for t in up.touched} == {"model", "gate"}
    down = trace_row(home, banana[:12])
    assert down.content["source"] == "lines.txt:1"
    places = {(p.artifact, p.part): p for p in down.places}
    assert (run.steps["upper"].artifact, "data") in places
    assert places[run.steps["other"].artifact, "dropped"].reasons == ("without: ch",)
    assert {t.name: t.direct for t in down.touched} == {"model": True, "gate": False}


def test_a_row_that_was_dropped_everywhere_touched_nothing(home, lines):
    lines.write_text("apple\nbanana\ncherry\nkiwi\n")
    run = run_recipe(recipe(lines), home=home)
    trace = trace_row(home, row(home, run.steps["raw"].artifact, "kiwi"))
    assert trace.touched == []
    assert {p.part for p in trace.places} == {"data", "dropped"}


def test_what_came_of_it_shows_all_that_it_read(home, lines):
    whole = recipe(lines)
    whole["steps"]["both"] = {"use": S + "several", "models": {"a": "$model", "b": "$model2"}, "verdicts": ["$gate"]}
    run = run_recipe(whole, home=home)
    graph = lineage(home, run.steps["upper"].artifact)
    names = {r: n.name for r, n in graph.nodes.items()}
    assert "model2" not in names.values()  # it did not come of it, nor it of it
    graph = lineage(home, run.steps["raw"].artifact)
    names = {r: n.name for r, n in graph.nodes.items()}
    read = sorted(names[a] for a, b, _, _ in graph.edges if names[b] == "both")
    assert read == ["gate", "model", "model2"]
    graph = lineage(home, run.steps["model"].artifact)
    names = {r: n.name for r, n in graph.nodes.items()}
    assert sorted(names[a] for a, b, _, _ in graph.edges if names[b] == "both") == ["gate", "model"]


def test_a_row_that_is_not_there_is_said(home, lines):
    run_recipe(recipe(lines), home=home)
    with pytest.raises(InputError, match="no row"):
        trace_row(home, "0123456789abcdef")


def test_forgetting_makes_new_versions_marks_what_it_touched_and_holds_on_the_next_run(home, lines):
    run = run_recipe(recipe(lines), home=home)
    banana = row(home, run.steps["raw"].artifact, "banana")
    made = row(home, run.steps["upper"].artifact, "BANANABANANA")
    plan_ = plan_forget(home, [made])  # a derived row is forgotten from its source on
    assert [r.hex() for r in plan_.sources] == [banana]
    assert home.ledger.events(kind="forgotten") == []  # a plan changes nothing
    done = forget(home, plan_, reason="asked to")
    assert set(done.versions) == {run.steps[s].artifact for s in ("raw", "upper", "other")}
    for new in done.versions.values():
        texts = [
            r["text"] for p in home.store.open(new, Dataset).parts for r in home.store.open(new, Dataset, p).rows()
        ]
        assert not any("banana" in t.lower() for t in texts)
    assert done.moved == ["mini@data"]
    assert home.find("mini@data") == done.versions[run.steps["upper"].artifact]
    assert home.find("mini@champion") == run.steps["model"].artifact
    assert set(done.stale) == {run.steps["model"].artifact, run.steps["gate"].artifact}
    assert {e["subject"] for e in home.ledger.events(kind="stale")} == set(done.stale)
    again = run_recipe(recipe(lines), home=home)  # the file still has the line
    assert again.steps["raw"].status == "ran"
    assert again.steps["raw"].why == ["rows were forgotten"]
    assert [r["text"] for r in home.store.open(again.steps["raw"].artifact, Dataset).rows()] == ["apple", "cherry"]
    assert again.steps["model"].status == "ran"
    assert again.steps["model2"].status == "hit"  # it never read the row
    assert home.find("mini@champion") == again.steps["model"].artifact
    assert set(statuses(run_recipe(recipe(lines), home=home))) == {"hit"}
    assert verify(home).clean
    home.store.remove([run.steps["raw"].artifact])
    with pytest.raises(InputError, match="forgotten"):  # remake does not bring the rows back
        remake(home, run.steps["raw"].artifact)


def test_once_the_recipe_has_run_again_gc_deletes_what_was_forgotten(home, lines):
    run = run_recipe(recipe(lines), home=home)
    banana = row(home, run.steps["raw"].artifact, "banana")
    plan_ = plan_forget(home, [banana])
    assert plan_.shown == ("lines.txt:1  banana",)
    forget(home, plan_, reason="asked to")
    again = plan_forget(home, [banana])
    assert again.already
    assert forget(home, again).versions == {}
    collect_garbage(home, apply=True)
    assert home.store.has(run.steps["upper"].artifact)  # the champion was trained on it
    run_recipe(recipe(lines), home=home)
    collect_garbage(home, apply=True)
    for artifact_id in home.store.ids():
        if home.store.manifest(artifact_id)["kind"] == "dataset":
            data = home.store.open(artifact_id, Dataset)
            assert "banana" not in {r["text"].lower()[:6] for p in data.parts for r in data.select(p).rows()}
    with pytest.raises(InputError, match="no row"):
        trace_row(home, banana)


def test_a_forgotten_row_stays_forgotten_when_its_line_moves_or_its_file_is_renamed(home, lines):
    run = run_recipe(recipe(lines), home=home)
    forget(home, plan_forget(home, [row(home, run.steps["raw"].artifact, "banana")]))
    lines.write_text("a new line on top\napple\nbanana\ncherry\n")
    renamed = lines.rename(lines.with_name("other.txt"))
    again = run_recipe(recipe(renamed), home=home)
    texts = [r["text"] for r in home.store.open(again.steps["raw"].artifact, Dataset).rows()]
    assert texts == ["a new line on top", "apple", "cherry"]


def statuses(run) -> list[str]:
    return [s.status for s in run.steps.values()]


def test_gc_keeps_what_names_and_the_last_runs_need_and_nothing_else(home, lines):
    first = run_recipe(recipe(lines), home=home)
    assert collect_garbage(home).artifacts == ()
    lines.write_text("apple\nbanana split\ncherry\nchestnut\n")
    second = run_recipe(recipe(lines), home=home)
    home.ledger.move_name("old", "model", first.steps["model"].artifact)
    found = collect_garbage(home)
    old = {
        n: s.artifact for n, s in first.steps.items() if s.artifact not in {t.artifact for t in second.steps.values()}
    }
    # The named old model needs the old raw and upper; nothing needs what was made of the other branch.
    assert set(found.artifacts) == {old["other"], old["model2"]}
    assert home.store.has(old["other"])  # nothing is deleted unless asked
    done = collect_garbage(home, apply=True)
    assert done.bytes > 0
    assert not home.store.has(old["other"])
    assert verify(home).clean  # what gc took is not called lost
    assert set(statuses(run_recipe(recipe(lines), home=home))) == {"hit"}


def test_gc_leaves_alone_what_a_running_run_has_used(home, lines):
    run_recipe(recipe(lines), home=home)
    first = lines.read_text()
    lines.write_text("apple\nbanana split\ncherry\nchestnut\n")
    run_recipe(recipe(lines), home=home)
    lines.write_text(first)
    home.ledger.begin("recipe", "a run that goes on", {}, {})
    hits = run_recipe(recipe(lines) | {"recipe": "another name"}, home=home)
    with home.ledger.writing() as connection:  # as if it had not ended: its hits are on no edge
        connection.execute(schema.run.delete().where(schema.run.c.id == hits.id))
    collect_garbage(home, apply=True)
    assert all(home.store.has(s.artifact) for s in hits.steps.values())


def test_gc_leaves_running_work_alone(home, lines):
    run_recipe(recipe(lines), home=home)
    home.ledger.begin("s", "some key", {}, {})
    (home.folder("work") / "some key").mkdir()
    (home.folder("work") / "dead key").mkdir()
    collect_garbage(home, apply=True)
    assert [p.name for p in (home.root / "work").iterdir()] == ["some key"]


def test_verify_names_damage_and_loss(home, lines):
    run = run_recipe(recipe(lines), home=home)
    assert verify(home).clean
    path = home.store.open(run.steps["model"].artifact).file("model.json")
    path.chmod(0o644)
    path.write_text("{}")
    home.store.remove([run.steps["gate"].artifact])
    found = verify(home)
    assert found.damaged == {run.steps["model"].artifact: ["model.json has other bytes"]}
    assert found.lost == [run.steps["gate"].artifact]
    run_recipe(recipe(lines), home=home)
    assert verify(home).clean


def test_remake_gives_the_same_bytes_and_restores_what_was_lost(home, lines):
    run = run_recipe(recipe(lines), home=home)
    model = run.steps["model"].artifact
    made = remake(home, model)
    assert [(m.name, m.equal, m.restored) for m in made] == [
        ("raw", True, False),
        ("upper", True, False),
        ("model", True, False),
    ]
    home.store.remove([model])
    (only,) = remake(home, model, only=True)
    assert only.equal
    assert only.restored
    assert home.store.has(model)
    assert verify(home).unrecorded == []


def test_remake_says_what_is_different(home, lines):
    run = run_recipe(recipe(lines), home=home)
    lines.write_text("apple\nbanana\nquince\n")
    raw, upper = remake(home, run.steps["upper"].artifact)
    assert not raw.equal
    assert raw.differences == ["the files of path changed"]
    assert upper.equal  # its stored input is still there
    made = run_recipe({"recipe": "r", "steps": {"x": {"use": S + "random_bytes"}}}, home=home)
    (random_one,) = remake(home, made.steps["x"].artifact)
    assert not random_one.equal
    assert verify(home).unrecorded == []


def test_why_and_diff_name_what_changed(home, lines):
    first = run_recipe(recipe(lines), home=home)
    changed = recipe(lines)
    changed["steps"]["upper"]["keep"] = "b"
    planned = plan(home, load_recipe(changed))
    assert planned["raw"].verdict == "hit"
    assert (planned["upper"].verdict, planned["upper"].reasons) == ("would run", ["settings.keep: a -> b"])
    assert planned["model"].verdict == "depends"
    second = run_recipe(changed, home=home)
    assert why_it_ran(home, "upper").reasons == ["settings.keep: a -> b"]
    found = diff(home, first.id, second.id).sections["steps"]
    assert any("settings.keep: a -> b" in line for line in found)
    assert not any(line.startswith("raw") for line in found)
    artifacts = diff(home, first.steps["upper"].artifact, second.steps["upper"].artifact)
    assert "settings.keep: a -> b" in artifacts.sections["made by"]
    assert diff(home, first.id, first.id).same
    with pytest.raises(InputError, match="did you mean 'upper'"):
        why_it_ran(home, "uper")


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_followed_rightly_through_random_pipelines(home, tmp_path, seed):
    """Against a plain reference: letters of a text say which sources it holds."""
    choose = random.Random(seed)
    source = tmp_path / "lines.txt"
    words = ["".join(choose.sample("abcdef", 3)) + str(i) for i in range(20)]
    source.write_text("\n".join(words))
    steps: dict = {"s0": {"use": S + "read_lines", "path": str(source)}}
    for i in range(1, 6):
        steps[f"s{i}"] = {
            "use": S + "upper",
            "data": f"$s{choose.randrange(i)}",
            "keep": choose.choice("ABC").lower() if i == 1 else "",
        }
    run = run_recipe({"recipe": "random", "steps": steps}, home=home)
    for word in choose.sample(words, 5):
        trace = trace_row(home, row(home, run.steps["s0"].artifact, word))
        followed = {(p.artifact, p.part): set(p.rows) for p in trace.places}
        for step in run.steps.values():
            for part in home.store.open(step.artifact, Dataset).parts:
                rows = home.store.open(step.artifact, Dataset, part).rows()
                expected = {r["row_id"] for r in rows if r["text"].lower().startswith(word)}
                assert followed.get((step.artifact, part), set()) == expected, (step.name, part)


def test_the_same_content_is_forgotten_in_every_version(home, lines):
    """A line inserted above gives a row another id; what it says is the same, and goes from all versions."""
    first = run_recipe(recipe(lines), home=home)
    lines.write_text("one more at the top\n" + lines.read_text())
    second = run_recipe(recipe(lines), home=home)
    data = home.store.open(second.steps["raw"].artifact, Dataset)
    row = next(r for r in data.rows() if r["text"] == "banana")
    plan = plan_forget(home, [row["row_id"].hex()])
    held = {p.artifact for p in plan.places}
    assert {first.steps["raw"].artifact, second.steps["raw"].artifact} <= held
    assert {first.steps["model"].artifact, second.steps["model"].artifact} <= {t.artifact for t in plan.touched}
    done = forget(home, plan)
    for old in (first.steps["raw"].artifact, second.steps["raw"].artifact):
        assert "banana" not in [r["text"] for r in home.store.open(done.versions[old], Dataset).rows()]


def test_what_is_made_anew_of_what_is_left_is_stale_no_more(home, lines):
    """The model counts its rows: with another row in the place of the forgotten one the same bytes come out."""
    run = run_recipe(recipe(lines), home=home)
    champion = home.find("mini@champion")
    done = forget(home, plan_forget(home, [row(home, run.steps["raw"].artifact, "banana")]))
    assert champion in done.stale
    assert set(home.ledger.stale()) == set(done.stale)
    lines.write_text(lines.read_text() + "avocado\n")
    again = run_recipe(recipe(lines), home=home)
    assert (again.steps["model"].status, again.steps["model"].artifact) == ("ran", champion)
    assert champion not in home.ledger.stale()
    collect_garbage(home, apply=True)
    datasets = [a for a in home.store.ids() if home.ledger.artifact(a)["kind"] == "dataset"]
    opened = [home.store.open(a, Dataset, part) for a in datasets for part in home.store.open(a, Dataset).parts]
    texts = [row["text"] for dataset in opened for row in dataset.rows()]
    assert not [text for text in texts if "banana" in text.lower()]  # nothing that stays needs the old version
