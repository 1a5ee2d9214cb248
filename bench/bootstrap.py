"""Intervals of corpus metrics: ours from sums of statistics against the usual ways, on the same items and draws.

    python bench/bootstrap.py [--quick] [--json]

- F1: lm-evaluation-harness's way, scikit-learn's f1_score of every resample.
- perplexity: scipy.stats.bootstrap, vectorised, BCa.
- BLEU: sacreBLEU's own bootstrap, which sums statistics too, one resample at a time.
2,000 items each. CPU seconds, medians of rounds taken in turn; a peer is run at fewer draws where it is slow, and ours
then too. `agree`: the standard deviations of the resampled metric lie within Monte Carlo error of one another. Ours
at 10,000 draws is held to 1 second.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from loomwork.metrics.entities import f1
from loomwork.metrics.translation import bleu
from loomwork.stats.sums import gather, statistic_interval, sums_drawn

ITEMS, DRAWS = 2000, 10_000
Work = Callable[[int], float]  # draws -> standard deviation of the metric over them


@dataclass(frozen=True)
class Case:
    """A metric: statistics of its items, what it is of their sums, and a peer with the draws that it can afford."""

    statistics: np.ndarray
    metric: Callable[[np.ndarray], np.ndarray]
    peer: str
    run_peer: Work
    draws: int

    def run_ours(self, draws: int) -> float:
        return float(self.metric(sums_drawn(gather(self.statistics), draws, np.random.default_rng(1))).std())

    def interval(self, draws: int) -> None:
        statistic_interval(self.statistics, self.metric, draws=draws)


def f1_case(generator: np.random.Generator, quick: bool) -> Case:
    from sklearn.metrics import f1_score

    gold = generator.random(ITEMS) < 0.4
    guess = np.where(generator.random(ITEMS) < 0.8, gold, ~gold)

    def peer(draws: int) -> float:
        rows = np.random.default_rng(2).integers(0, ITEMS, (draws, ITEMS))
        return float(np.std([f1_score(gold[row], guess[row]) for row in rows]))

    rows = np.column_stack([gold & guess, guess, gold]).astype(float)
    return Case(rows, f1, "scikit-learn, each resample", peer, 200 if quick else 1000)


def perplexity_case(generator: np.random.Generator, quick: bool) -> Case:
    from scipy.stats import bootstrap

    tokens = generator.integers(5, 200, ITEMS).astype(float)
    rows = np.column_stack([-tokens * generator.gamma(9, 0.3, ITEMS), tokens])

    def peer(draws: int) -> float:
        def metric(above: np.ndarray, below: np.ndarray, axis: int) -> np.ndarray:
            return np.exp(-above.sum(axis) / below.sum(axis))

        found = bootstrap(
            (rows[:, 0], rows[:, 1]), metric, paired=True, n_resamples=draws, method="percentile", rng=2, batch=500
        )
        return float(found.standard_error)

    return Case(
        rows, lambda sums: np.exp(-sums[..., 0] / sums[..., 1]), "scipy.stats.bootstrap", peer, 2000 if quick else DRAWS
    )


def bleu_case(generator: np.random.Generator, quick: bool) -> Case:
    from sacrebleu.metrics import BLEU

    words = np.array([f"w{i}" for i in range(500)])
    reference = [words[generator.integers(0, 500, size)] for size in generator.integers(8, 30, ITEMS)]
    changed = [np.where(generator.random(len(r)) < 0.8, r, generator.permutation(r)) for r in reference]
    texts = [" ".join(line) for line in changed]
    scorer = BLEU(references=[[" ".join(line) for line in reference]], tokenize="none")
    rows = scorer._extract_corpus_statistics(texts, None)

    def peer(draws: int) -> float:
        picks = np.random.default_rng(2).integers(0, ITEMS, (draws, ITEMS))
        table = np.array(rows, dtype="float32")
        return float(np.std([scorer._compute_score_from_stats(table[pick].sum(0)).score for pick in picks]))

    return Case(np.array(rows, float), bleu, "sacreBLEU", peer, 500 if quick else 2000)


def cpu(work: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer draws and rounds")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    options = parser.parse_args()
    rounds = 3 if options.quick else 5
    ratios, seconds, agree = {}, {}, True
    for name, make in (("F1", f1_case), ("perplexity", perplexity_case), ("BLEU", bleu_case)):
        case = make(np.random.default_rng(0), options.quick)
        case.run_ours(50)
        case.run_peer(2)
        ours, theirs, full, spreads = [], [], [], []
        for _ in range(rounds):
            took, spread = cpu(lambda case=case: case.run_ours(case.draws))
            ours.append(took)
            took, other = cpu(lambda case=case: case.run_peer(case.draws))
            theirs.append(took)
            spreads.append((spread, other))
            full.append(cpu(lambda case=case: case.interval(DRAWS))[0])
        spread, other = spreads[0]
        agree &= abs(spread / other - 1) < 4 / case.draws**0.5
        agree &= median(full) < 1.0
        ratios[f"{case.peer} ({name})"] = median(theirs) / max(median(ours), 1e-6)
        seconds[name] = median(full)
        if not options.json:
            print(
                f"{name:10} {case.draws:6} draws: ours {median(ours):.4f} s, {case.peer} {median(theirs):.3f} s, "
                f"{median(theirs) / max(median(ours), 1e-6):.1f} times faster; standard deviations {spread:.5f} and "
                f"{other:.5f}; interval of {DRAWS:,} draws: {median(full):.3f} s"
            )
    if options.json:
        print(json.dumps({"ratios": ratios, "agree": agree, "seconds_of_10000_draws": seconds}))
    else:
        print(f"agree, and every interval under a second: {agree}")


if __name__ == "__main__":
    main()
