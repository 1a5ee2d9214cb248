"""recipes/distill.yaml, small, on real text messages."""

from __future__ import annotations

import csv
from pathlib import Path

from loomwork.core.home import Home
from loomwork.core.runner import run_recipe


def test_the_recipe(test_data, tmp_path):
    by: dict[str, list[str]] = {"spam": [], "ham": []}
    with (test_data / "classification" / "sms_spam.tsv").open(encoding="utf-8") as stream:
        for label, text in csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
            by[label].append(" ".join(text.split()[:12]))
    file = tmp_path / "messages.tsv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, delimiter="\t")
        writer.writerow(["label", "text"])
        writer.writerows([label, text] for label in by for text in by[label][:60])
    recipe = Path(__file__).parents[2] / "recipes" / "distill.yaml"
    few = {"steps.teacher.steps": 4, "steps.student.steps": 4, "steps.speed.rounds": 1, "path": str(file)}
    done = run_recipe(recipe, few, home=Home(tmp_path / "home"))
    assert not done.failed, [s.error for s in done.steps.values()]
