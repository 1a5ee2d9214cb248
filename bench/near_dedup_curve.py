"""Precision and recall of shingle similarity on real plagiarism pairs, over thresholds and shingle lengths.

    python bench/near_dedup_curve.py [--svg FILE] [--json]

10,000 pairs of sentences of the PAN plagiarism corpus (LOOMWORK_TEST_DATA), half of them paraphrases of one another
and half not. A pair counts as found where the Jaccard similarity of its shingles reaches the threshold, as in
`data.near_dedup`. Most paraphrases share few runs of words: this says what near-duplicate removal by words can see,
and that what it sees is right. Published figures for this set are of classifiers that learn, and are not compared.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np

from loomwork.report.curve import Line, line_chart
from loomwork.report.svg import standalone
from loomwork.text.minhash import Texts, sketch
from loomwork.text.minhash_kernels import similarities

DATA = Path(os.environ.get("LOOMWORK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
LENGTHS = (1, 2, 3, 5)
THRESHOLDS = [n / 20 for n in range(1, 20)]
DRAWN = (1, 2, 5)  # three lines can be told apart without colour
SHOWN = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)
Row = dict[str, float]


def read_pairs() -> tuple[list[str], np.ndarray]:
    """Both sides of each pair, one after the other, and whether they are paraphrases, bool (pairs,)."""
    folder = DATA / "near_duplicates"
    one, two = ((folder / f"pan-train_s{side}.txt").read_text("utf-8").splitlines() for side in (1, 2))
    labels = np.array((folder / "pan-train.labels").read_text().split(), int) == 1
    return [text for pair in zip(one, two, strict=True) for text in pair], labels


def curve(texts: list[str], labels: np.ndarray, words: int) -> list[Row]:
    found = sketch(Texts.of(texts), words=words, threads=os.cpu_count() or 1)
    similar = similarities(found.shingles, found.starts, found.counts, np.arange(len(texts)).reshape(-1, 2))
    rows = []
    for threshold in THRESHOLDS:
        alike = similar >= threshold
        right = int((alike & labels).sum())
        if right:
            rows.append(
                {"threshold": threshold, "precision": right / int(alike.sum()), "recall": right / int(labels.sum())}
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--svg", type=Path, help="write the figure to this file")
    parser.add_argument("--json", action="store_true", help="all points as one JSON object on standard output")
    arguments = parser.parse_args()
    texts, labels = read_pairs()
    curves = {words: curve(texts, labels, words) for words in LENGTHS}
    if arguments.svg:
        lines = [
            Line(
                f"{words} word{'s' * (words > 1)}",
                [(row["recall"], row["precision"]) for row in rows],
                smooth=False,
            )
            for words, rows in curves.items()
            if words in DRAWN
        ]
        title = "Precision over recall of near-duplicate thresholds on PAN pairs, by shingle length"
        arguments.svg.write_text(standalone(line_chart(lines, title=title, x_label="recall", y_label="precision")))
    if arguments.json:
        print(json.dumps(curves))
        return
    print(f"{len(labels):,} pairs, {int(labels.sum()):,} of them paraphrases; precision / recall")
    print("threshold " + "".join(f"{f'{words}-word shingles':>20}" for words in LENGTHS))
    for threshold in SHOWN:
        cells = []
        for words in LENGTHS:
            row = next((r for r in curves[words] if r["threshold"] == threshold), None)
            cells.append(f"{row['precision']:.3f} / {row['recall']:.3f}" if row else "nothing found")
        print(f"{threshold:<10}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
