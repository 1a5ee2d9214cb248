"""Do the gates' error rates hold? The share of false passes of candidates exactly at the edge, at alpha 5 %.

    python bench/gates.py [--quick] [--json] [--runs 2000]

Each row draws test sets on which the candidate truly is worse by the whole margin (or no better), so every pass is
false. "bootstrap alone" is the studentised bootstrap for every kind of data, "t" Student's test; "gate" is what
evals.compare uses.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from loomwork.stats.bootstrap import bootstrap_draws, one_sided_p
from loomwork.stats.cluster import cluster_mean
from loomwork.stats.paired import Margin, better_than, not_worse_than

ALPHA = 0.05
Sample = tuple[np.ndarray, np.ndarray, "np.ndarray | None"]  # candidate, baseline, clusters
Draw = Callable[[np.random.Generator], Sample]


def binary(n: int, changes: float, margin: float, right: float = 0.8) -> Draw:
    """Right-or-wrong items; the candidate is worse by `margin`, and differs on a share `changes`."""
    losses, wins = (changes + margin) / 2, (changes - margin) / 2

    def draw(generator: np.random.Generator) -> Sample:
        base = (generator.random(n) < right).astype(float)
        u = generator.random(n)
        lost, won = (base == 1) & (u < losses / right), (base == 0) & (u < wins / (1 - right) if right < 1 else False)
        return np.where(lost, 0.0, np.where(won, 1.0, base)), base, None

    return draw


def relative(n: int, changes: float, margin: float, right: float) -> Draw:
    return binary(n, changes, margin * right, right)


def graded(n: int, rate: float, loss: float) -> Draw:
    """Graded items (as F1 of an answer) of which a few lose `loss` on average, and the others stay as they are."""

    def draw(generator: np.random.Generator) -> Sample:
        base = generator.uniform(0.9, 1.0, n)
        drop = generator.uniform(0, 2 * loss, n) if loss < 0.45 else np.full(n, loss)
        return base - np.where(generator.random(n) < rate, drop, 0.0), base, None

    return draw


def sizes(generator: np.random.Generator, clusters: int, inequality: float) -> np.ndarray:
    size = np.clip(np.round(np.exp(generator.normal(2.5, inequality, clusters))), 1, 200).astype(int)
    return np.repeat(np.arange(clusters), size)


def clustered(clusters: int, rate: float, *, whole: bool = False, inequality: float = 0.8) -> Draw:
    """Right-or-wrong items in unequal clusters; single items are lost, or (`whole`) most of a cluster at once."""

    def draw(generator: np.random.Generator) -> Sample:
        of = sizes(generator, clusters, inequality)
        lost = generator.random(len(of)) < (0.8 if whole else rate)
        if whole:
            lost &= (generator.random(clusters) < rate / 0.8)[of]
        return 1.0 - lost, np.ones(len(of)), of

    return draw


def ranked(clusters: int, margin: float) -> Draw:
    """Reciprocal ranks that move for a quarter of the queries; every cluster has a shift of its own."""

    def draw(generator: np.random.Generator) -> Sample:
        of = sizes(generator, clusters, 0.8)
        ranks = generator.geometric(0.45, (3, len(of)))
        base, before, after = np.where(ranks <= 10, 1 / ranks, 0.0)
        change = np.where(generator.random(len(of)) < 0.25, after - before, 0.0)
        return base + change + generator.normal(0, 0.03, clusters)[of] - margin, base, of

    return draw


BETTER = -1.0
CASES: dict[str, tuple[Draw, float | str]] = {  # the margin allowed; BETTER asks for "better than 0"
    "right or wrong, n=100, 2 % changes, all losses": (binary(100, 0.02, 0.02), 0.02),
    "right or wrong, n=100, 4 % changes, 2 points": (binary(100, 0.04, 0.02), 0.02),
    "right or wrong, n=300, 1 % changes, all losses": (binary(300, 0.01, 0.01), 0.01),
    "right or wrong, n=1000, 20 % changes, 2 points": (binary(1000, 0.2, 0.02), 0.02),
    "right or wrong, n=500, 5 % of .9, relative": (relative(500, 0.06, 0.05, 0.9), "5%"),
    "right or wrong, n=50, better than 0, 20 % changes": (binary(50, 0.2, 0.0), BETTER),
    "right or wrong, n=100, better than 0, 3 % changes": (binary(100, 0.03, 0.0), BETTER),
    "graded, n=100, 2 % lose .4": (graded(100, 0.02, 0.4), 0.008),
    "graded, n=300, 1 % lose .9": (graded(300, 0.01, 0.9), 0.009),
    "graded, n=1000, 1.6 % lose .9": (graded(1000, 0.016, 0.9), 0.0144),
    "graded, n=1000, 3 % lose .9": (graded(1000, 0.03, 0.9), 0.027),
    "60 clusters, 0.5 % lost": (clustered(60, 0.005), 0.005),
    "28 clusters, 1 % lost": (clustered(28, 0.01), 0.01),
    "28 clusters, 4 % lost": (clustered(28, 0.04), 0.04),
    "60 clusters, 2 % lost by whole clusters": (clustered(60, 0.02, whole=True), 0.02),
    "60 clusters, 20 % lost by whole clusters": (clustered(60, 0.2, whole=True), 0.2),
    "28 clusters, 8 % lost": (clustered(28, 0.08), 0.08),
    "12 clusters, 4 % lost": (clustered(12, 0.04), 0.04),
    "28 clusters, ranks move": (ranked(28, 0.01), 0.01),
    "10 clusters, ranks move": (ranked(10, 0.01), 0.01),
}


def measure(draw: Draw, margin: float | str, runs: int, seed: int) -> dict[str, float]:
    """Shares of false passes."""
    from scipy.special import stdtr

    generator = np.random.default_rng(seed)
    passed = {"t": 0, "bootstrap alone": 0, "gate": 0}
    for run in range(runs):
        new, base, of = draw(generator)
        if margin == BETTER:
            threshold, decision = 0.0, better_than(new, base, Margin(0.0), clusters=of, seed=run)
        else:
            allowed = Margin.parse(margin)
            threshold = -allowed.value * (base.mean() if allowed.relative else 1)
            decision = not_worse_than(new, base, allowed, clusters=of, seed=run)
        passed["gate"] += decision.outcome == "pass"
        mean = cluster_mean(new - base, clusters=of)
        if mean.standard_error == 0:
            passed["t"] += mean.value > threshold
            passed["bootstrap alone"] += mean.value > threshold
            continue
        t = (mean.value - threshold) / mean.standard_error
        passed["t"] += stdtr(mean.n_clusters - 1, -t) <= ALPHA
        _, drawn = bootstrap_draws(mean, draws=399, seed=run)
        passed["bootstrap alone"] += one_sided_p(mean, drawn, threshold) <= ALPHA
    return {name: count / runs for name, count in passed.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="150 runs a row")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    options = parser.parse_args()
    runs = 150 if options.quick else options.runs
    allowed = ALPHA + 3 * (ALPHA * (1 - ALPHA) / runs) ** 0.5
    rows = {}
    start = time.process_time()
    if not options.json:
        print(f"| test sets at the edge, {runs} of each | t | bootstrap alone | gate |\n|---|---|---|---|")
    for number, (name, (draw, margin)) in enumerate(CASES.items()):
        if options.only in name:
            rows[name] = measure(draw, margin, runs, number)
            if not options.json:
                print(f"| {name} | " + " | ".join(f"{100 * x:.1f} %" for x in rows[name].values()) + " |", flush=True)
    agree = all(row["gate"] <= allowed for row in rows.values())
    if options.json:
        print(json.dumps({"ratios": {}, "agree": agree, "false_passes": rows}))
    else:
        print(f"\nthe gate holds 5 % (+ Monte Carlo error: {100 * allowed:.1f} %) in all rows: {agree}")
        print(f"{time.process_time() - start:.0f} CPU seconds")


if __name__ == "__main__":
    main()
