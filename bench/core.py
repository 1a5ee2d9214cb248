"""What the core costs beyond a step's own work: a hit, an executed light step, and lineage of large graphs.

    python bench/core.py [--quick] [--json]

Wall and CPU milliseconds, medians over rounds, without what the step itself does, beside the budget that each figure is
held to. The CPU time is held to it wherever this runs; the wall time too on a machine that does nothing else: a step
waits twice for the disk, and what other programs write makes that longer. An ext4 disk without a journal looks at every
inode that was freed in the last minutes before it makes a file, which can double the time of a step: measure when
nothing was deleted lately, or with TMPDIR=/dev/shm, which leaves the disk out.

There is no peer in this run: `ratios` is empty. `agree` says that what was measured was right: the hits were hits, and
the lineages were whole.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loomwork.core import schema as t
from loomwork.core.artifact import Artifact
from loomwork.core.home import Home
from loomwork.core.lineage import lineage
from loomwork.core.runner import RecipeRun, run_recipe
from loomwork.core.step import Card, step

BUDGETS_MS = {
    "cached step": 2.0,
    "executed light step": 5.0,
    "lineage of a chain": 100.0,
    "lineage of a diamond": 100.0,
}
CHAIN_STEPS = 10_000
DIAMOND_LAYERS = 200
Times = tuple[float, float]  # wall, CPU


@step(makes="note")
def note(base: Artifact | None = None, *, n: int, out: Path) -> Card:
    """A step with next to no work of its own."""
    (out / "n").write_text(str(n))
    return Card({"n": n})


def chain_recipe(steps: int) -> dict[str, Any]:
    """A chain of steps, each reading the one before."""
    use = note.step.name  # type: ignore[attr-defined]
    calls: dict[str, Any] = {"s0": {"use": use, "n": 0}}
    calls |= {f"s{i}": {"use": use, "n": i, "base": f"$s{i - 1}"} for i in range(1, steps)}
    return {"recipe": "chain", "steps": calls}


def timed(work: Callable[[], Any]) -> tuple[Times, Any]:
    """Wall and CPU milliseconds, and the result."""
    start = time.perf_counter(), time.process_time()
    result = work()
    return ((time.perf_counter() - start[0]) * 1e3, (time.process_time() - start[1]) * 1e3), result


def medians(times: list[Times], divided_by: int = 1) -> Times:
    wall, cpu = (statistics.median(column) / divided_by for column in zip(*times, strict=True))
    return wall, cpu


def measure_steps(folder: Path, steps: int, rounds: int) -> tuple[dict[str, Times], bool]:
    """Wall and CPU milliseconds a step, executed and cached, over a run; the process has run one before."""
    recipe = chain_recipe(steps)
    executed, cached, right = [], [], True
    run_recipe(chain_recipe(3), home=Home(folder / "warm"))
    for i in range(rounds):
        home = Home(folder / f"home{i}")
        seconds, run = timed(lambda home=home: run_recipe(recipe, home=home))
        own, _ = timed(own_work(folder / f"own{i}", steps))
        executed.append((seconds[0] - own[0], seconds[1] - own[1]))
        right &= count(run, "ran") == steps
        seconds, run = timed(lambda home=home: run_recipe(recipe, home=home))
        cached.append(seconds)
        right &= count(run, "hit") == steps
    return {
        "executed light step": medians(executed, steps),
        "cached step": medians(cached, steps),
    }, right


def own_work(folder: Path, steps: int) -> Callable[[], None]:
    """What the steps do themselves: each writes a file into a folder that is there."""
    places = [folder / str(i) for i in range(steps)]
    for place in places:
        place.mkdir(parents=True)

    def work() -> None:
        for i, place in enumerate(places):
            note(n=i, out=place)

    return work


def count(run: RecipeRun, status: str) -> int:
    return sum(s.status == status for s in run.steps.values())


def fill(home: Home, parents: list[list[int]]) -> str:
    """A ledger with one run for each entry, reading the runs whose numbers it lists. Returns the last artifact's id."""
    name = "{:064x}".format
    with home.ledger.writing() as connection:
        fixed = dict(step="s", parts="{}", status="done", owner="", started=0.0, heartbeat=0.0, ended=1.0)
        connection.execute(t.run.insert(), [dict(id=f"r{i}", key=f"k{i}", **fixed) for i in range(len(parents))])
        connection.execute(
            t.artifact.insert(), [dict(id=name(i), kind="x", bytes=1, created=0.0) for i in range(len(parents))]
        )
        out = [
            dict(run=f"r{i}", direction="out", role="out", artifact=name(i), part="", made_by=f"r{i}")
            for i in range(len(parents))
        ]
        reads = [
            dict(run=f"r{i}", direction="in", role=f"in.{j}", artifact=name(j), part="", made_by=f"r{j}")
            for i, above in enumerate(parents)
            for j in above
        ]
        connection.execute(t.edge.insert(), out + reads)
    return name(len(parents) - 1)


def measure_lineage(folder: Path, rounds: int) -> tuple[dict[str, Times], bool]:
    """The same for the lineage of the last of a chain, and of a diamond: each layer reads both above."""
    diamond: list[list[int]] = [[], []]
    for layer in range(1, DIAMOND_LAYERS):
        diamond += [[2 * layer - 2, 2 * layer - 1]] * 2
    graphs = {"chain": [[i - 1] if i else [] for i in range(CHAIN_STEPS)], "diamond": diamond}
    found, right = {}, True
    for shape, parents in graphs.items():
        home = Home(folder / shape)
        last = fill(home, parents)
        times = []
        for _ in range(rounds):
            seconds, graph = timed(lambda home=home, last=last: lineage(home, last, down=False))
            times.append(seconds)
        expected = len(parents) if shape == "chain" else len(parents) - 1  # the last layer's other half is not above it
        right &= len(graph.nodes) == expected
        found[f"lineage of a {shape}"] = medians(times)
    return found, right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer steps and rounds")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    arguments = parser.parse_args()
    steps, rounds = (100, 3) if arguments.quick else (300, 7)
    with tempfile.TemporaryDirectory() as folder:
        figures, right = measure_steps(Path(folder), steps, rounds)
        graphs, whole = measure_lineage(Path(folder), rounds)
    figures |= graphs
    if arguments.json:
        kinds = {kind: {name: times[i] for name, times in figures.items()} for i, kind in enumerate(("wall", "cpu"))}
        print(json.dumps({"ratios": {}, "agree": right and whole, "milliseconds": kinds, "budgets": BUDGETS_MS}))
        return
    for name, budget in BUDGETS_MS.items():
        wall, cpu = figures[name]
        held = "held" if max(wall, cpu) <= budget else "held in CPU time" if cpu <= budget else "NOT HELD"
        print(f"{name:21} wall {wall:7.2f} ms   CPU {cpu:7.2f} ms   (at most {budget:g} ms: {held})")
    print("what was measured was right" if right and whole else "WHAT WAS MEASURED WAS NOT RIGHT")


if __name__ == "__main__":
    main()
