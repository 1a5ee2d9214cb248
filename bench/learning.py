"""Is what training says it does true? Real data, scores with their intervals, and what each was held to.

    python bench/learning.py [--only sst2,cola] [--home FOLDER] [--quick] [--json]

Each experiment is a recipe on LOOMWORK_TEST_DATA; --home keeps its results, so that a run that was stopped goes on and
a second one computes nothing. MiniLM is the pretrained encoder of the package index (22.7 M parameters). All settings
stand below; where some were chosen among several, the comment says so.

- sst2: MiniLM on all of SST-2's training file, once; accuracy on the official dev file.
- lora: the same with a low-rank adapter, against full fine-tuning, paired on dev.
- student: three of its layers, distilled on the same file: accuracy against the teacher's, paired, and speed.
- cola: MiniLM on CoLA, Matthews' correlation on the in-domain dev file.
- spam, entities: recipes/classify.yaml on SMS spam and recipes/ner.yaml on WNUT-17.
- rare: 1,565 rows of SST-2 with a positive one to 20 negative ones in training: class weights, and rows that are
  repeated, against neither, macro F1 on dev. (With four times as many rows the gains are .01, and not certain.)
- prompt: 20 trained states before each text, on a 260 K language model of children's stories that reads answers of an
  assistant; bits per byte against the untouched model, paired.

`agree`: all of them reached what they were held to. --quick: prompt alone, on a part of the rows, which proves less.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from loomwork.core.home import Home, open_home
from loomwork.core.runner import RecipeRun, run_recipe
from loomwork.core.score import Scores, Verdict

DATA = Path(os.environ.get("LOOMWORK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
RECIPES = Path(__file__).parents[1] / "recipes"
SST2, COLA, CHAT = DATA / "glue" / "SST-2", DATA / "glue" / "CoLA", DATA / "instructions" / "alpaca_5000.json"
TEXTS = {"text": "sentence"}
TRAINED = ("train.classify", "train.tag", "train.distill", "train.pretrain")


@dataclass(frozen=True)
class Bar:
    """What is read off a step of a run, and what it is held to.

    Args:
        step: one that scores, or one that compares two scores.
        score: its score's name; "" for a comparison, of which the difference is read.
        least: of the value; of a comparison that has `share`, of the candidate's share of the baseline's value.
        share: whether it is that.
    """

    step: str
    score: str
    least: float
    share: bool = False

    def read(self, home: Home, run: RecipeRun) -> tuple[float, float, float, int]:
        """The value, its interval and the number of items."""
        artifact = run.steps[self.step].artifact
        if self.score:
            score = home.open(artifact, Scores).score(self.score)
            return score.value, score.interval.low, score.interval.high, score.n
        numbers = home.open(artifact, Verdict).ruling.numbers
        found = tuple(numbers[n] for n in ("difference", "low", "high"))
        if self.share:
            found = tuple(1 + n / numbers["baseline"] for n in found)
        return *found, int(numbers["n"])


@dataclass(frozen=True)
class Experiment:
    recipe: Mapping[str, Any] | Path
    bars: tuple[Bar, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    faster: float = 0.0  # of step `speed`: how many times as fast in CPU time its second model is at least


def classified(name: str, **given: Any) -> dict[str, Any]:
    """A classifier, and its scores on `dev`."""
    made = {"use": "train.classify", "base": "$base", "data": "$train", "epochs": 1.0, **TEXTS, **given}
    return {name: made, f"{name}_scores": {"use": "evals.classify", "model": f"${name}", "data": "$dev", **TEXTS}}


def compared(candidate: str, baseline: str, metric: str) -> dict[str, Any]:
    """At a level of 95 %, as all the other intervals here."""
    return {
        "use": "evals.compare",
        "candidate": f"${candidate}",
        "baseline": f"${baseline}",
        "metric": metric,
        "better_than": 0,
        "alpha": 0.025,
    }


def sst2(**more: Any) -> dict[str, Any]:
    return {
        "train": {"use": "data.read", "path": str(SST2 / "train.tsv")},
        "dev": {"use": "data.read", "path": str(SST2 / "dev.tsv")},
        "base": {"use": "train.base"},
        **classified("full"),
        **more,
    }


def low_rank() -> dict[str, Any]:
    tuned = classified("lora", adapter="lora", learning_rate=0.001)
    return sst2(**tuned, difference=compared("lora_scores", "full_scores", "accuracy"))


def distilled() -> dict[str, Any]:
    student = {
        "use": "train.distill",
        "base": "$small",
        "teacher": "$full",
        "data": "$train",
        "epochs": 2.0,
        "batch": 32,
        "schedule": "linear",
        "teacher_share": 0.9,
        "temperature": 2.0,
        "hidden_weight": 1.0,
        "layer_map": {1: 1, 2: 3, 3: 6},
        **TEXTS,
    }
    return sst2(
        small={"use": "train.student", "teacher": "$full", "layers": [0, 2, 5]},
        student=student,
        student_scores={"use": "evals.classify", "model": "$student", "data": "$dev", **TEXTS},
        difference=compared("student_scores", "full_scores", "accuracy"),
        speed={"use": "evals.speed", "models": {"full": "$full", "student": "$student"}, "data": "$dev", **TEXTS},
    )


def cola() -> dict[str, Any]:
    columns = ["source", "label", "mark", "sentence"]
    return {
        "train": {"use": "data.read", "path": str(COLA / "in_domain_train.tsv"), "columns": columns},
        "dev": {"use": "data.read", "path": str(COLA / "in_domain_dev.tsv"), "columns": columns},
        "base": {"use": "train.base"},
        **classified("model", epochs=4.0),
    }


def rare(share: float, epochs: float) -> dict[str, Any]:
    """A share of a training file in which 1 of 21 rows is positive."""
    shares = {"0": 20.0, "1": 1.0}
    balance = {"use": "data.balance", "column": "label"}
    steps = math.ceil(epochs * share * 31_000 / 32)  # as many with repeated rows as without
    return {
        "whole": {"use": "data.read", "path": str(SST2 / "train.tsv")},
        "unequal": {**balance, "data": "$whole", "method": "undersample", "shares": shares},
        "part": {"use": "data.split", "data": "$unequal", "holdout": share, "stratify": "label"},
        "even": {**balance, "data": "$part/holdout", "method": "oversample"},
        "dev": {"use": "data.read", "path": str(SST2 / "dev.tsv")},
        "base": {"use": "train.base"},
        **classified("plain", data="$part/holdout", steps=steps),
        **classified("weighted", data="$part/holdout", steps=steps, class_weights="balanced"),
        **classified("repeated", data="$even", steps=steps),
        "gain_weighted": compared("weighted_scores", "plain_scores", "macro_f1"),
        "gain_repeated": compared("repeated_scores", "plain_scores", "macro_f1"),
    }


def prompt(share: float, tokens: int) -> dict[str, Any]:
    def measured(model: str) -> dict[str, Any]:
        return {"use": "evals.perplexity", "model": model, "data": "$split/holdout", "text": "output"}

    trained = {
        "use": "train.pretrain",
        "base": "$base",
        "data": "$split/train",
        "text": "output",
        "adapter": "prompt",
        "context_tokens": 256,
        "batch_tokens": 2048,
        "tokens": tokens,
        "learning_rate": 0.03,
    }
    return {
        "raw": {"use": "data.read", "path": str(CHAT)},
        "clean": {"use": "data.clean", "data": "$raw", "column": "output"},
        "unique": {"use": "data.exact_dedup", "data": "$clean", "columns": ["output"]},
        "part": {"use": "data.split", "data": "$unique", "holdout": share},
        "split": {"use": "data.split", "data": "$part/holdout", "holdout": 0.2},
        "base": {"use": "train.base", "path": str(DATA / "models" / "stories260K-hf")},
        "prompted": trained,
        "before": measured("$base"),
        "after": measured("$prompted"),
        "gain": compared("after", "before", "bits per byte"),
    }


def experiments(quick: bool) -> dict[str, Experiment]:
    def whole(steps: dict[str, Any], *bars: Bar, faster: float = 0.0) -> Experiment:
        return Experiment({"recipe": "learning", "steps": steps}, bars, faster=faster)

    gains = Bar("gain_weighted", "", 0.0), Bar("gain_repeated", "", 0.0)
    if quick:
        return {"prompt": whole(prompt(0.2, 100_000), Bar("gain", "", 0.0))}
    wnut = DATA / "ner" / "wnut17"
    ner = {"path": "wnut17train.conll", "dev": "emerging.dev.conll", "test": "emerging.test.annotated"}
    spam = {"path": str(DATA / "classification" / "sms_spam.tsv"), "columns": ["label", "text"]}
    return {
        "sst2": whole(sst2(), Bar("full_scores", "accuracy", 0.88)),
        "lora": whole(low_rank(), Bar("difference", "", -0.01)),
        "student": whole(distilled(), Bar("difference", "", 0.97, share=True), faster=1.8),
        "cola": whole(cola(), Bar("model_scores", "matthews", 0.30)),
        "spam": Experiment(RECIPES / "classify.yaml", (Bar("scores", "f1: spam", 0.95),), spam),
        "entities": Experiment(
            RECIPES / "ner.yaml", (Bar("scores", "f1", 26.3),), {n: str(wnut / f) for n, f in ner.items()}
        ),
        "rare": whole(rare(0.05, 2.0), *gains),
        "prompt": whole(prompt(0.99, 1_000_000), Bar("gain", "", 0.0)),
    }


def run(name: str, experiment: Experiment, home: Home, folder: Path) -> dict[str, Any]:
    recipe = experiment.recipe
    settings = dict(experiment.settings)
    if isinstance(recipe, Path):
        recipe = {**yaml.safe_load(recipe.read_text("utf-8")), "report": str(folder / f"{name}.html")}
    done = run_recipe(recipe, settings, home=home)
    if done.failed:
        raise SystemExit("\n".join(f"{name}: {s.name}: {s.error}" for s in done.steps.values() if s.error))
    rows = []
    for bar in experiment.bars:
        value, low, high, items = bar.read(home, done)
        row = {"step": bar.step, "score": bar.score or ("share kept" if bar.share else "difference"), "value": value}
        rows.append(row | {"low": low, "high": high, "items": items, "least": bar.least, "reached": value >= bar.least})
    if experiment.faster:
        card = done.steps["speed"].card.metrics
        first, second = (card[f"{m}.cpu_seconds_per_text"] for m in ("full", "student"))
        rows.append({"step": "speed", "score": "times as fast", "value": first / second, "least": experiment.faster})
        rows[-1]["reached"] = first / second >= experiment.faster
    trained = [s for s in done.steps.values() if s.step in TRAINED]
    seconds = {s.name: round(s.card.metrics["train_seconds"]) for s in trained}
    return {"rows": rows, "seconds": seconds}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--json", action="store_true")
    options.add_argument("--only", default="", help="names, with commas between")
    options.add_argument("--home", default="", help="a folder that keeps the results")
    given = options.parse_args()
    chosen = experiments(given.quick)
    if given.only:
        unknown = set(given.only.split(",")) - set(chosen)
        if unknown:
            raise SystemExit(f"no experiment {', '.join(sorted(unknown))}; there are {', '.join(chosen)}")
        chosen = {name: chosen[name] for name in given.only.split(",")}
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        home = open_home(Path(given.home or temporary) / ".loom")
        for name, experiment in chosen.items():
            found[name] = run(name, experiment, home, Path(temporary))
            if not given.json:
                show(name, found[name])
    agree = all(row["reached"] for each in found.values() for row in each["rows"])
    if given.json:
        print(json.dumps({"ratios": {}, "agree": agree, "found": found}))
    else:
        print("all reached what they were held to" if agree else "NOT all reached what they were held to")


def show(name: str, found: dict[str, Any]) -> None:
    for row in found["rows"]:
        interval = f" [{row['low']:.3f}, {row['high']:.3f}] of {row['items']} items" if "low" in row else ""
        word = "" if row["reached"] else "  MISSED"
        what = f"{row['step']}: {row['score']}"
        print(f"{name:9} {what:38} {row['value']:.3f}{interval}, at least {row['least']:g}{word}", flush=True)
    print(f"{'':9} trained in " + ", ".join(f"{n} {s} s" for n, s in found["seconds"].items()), flush=True)


if __name__ == "__main__":
    main()
