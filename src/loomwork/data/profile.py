"""Know what a dataset holds, before anything is trained on it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from loomwork.core.artifact import Artifact, Model, digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, MissingDependency
from loomwork.core.ranges import Count, Seed
from loomwork.core.score import Score, write_json
from loomwork.core.step import Card, Files, step
from loomwork.models.engines import library_versions

if TYPE_CHECKING:
    import numpy as np

    from loomwork.core.score import Interval
    from loomwork.data.profiling.sampled import Sample
    from loomwork.data.profiling.scan import Roles, Scan

NEEDS = {"numba": "dedup", "py3langid": "curate", "sklearn": "curate", "phonenumbers": "curate"}
USES = ["numpy", "polars", "scipy", "scikit-learn", "py3langid"]


@step(makes="profile", uses=USES, heavy=True, version=library_versions())
def profile(
    data: Dataset,
    target: Dataset | None = None,
    model: Model | None = None,
    tokenizers: dict[str, Artifact] | None = None,
    *,
    column: str | None = None,
    label: str | None = None,
    language: str | None = None,
    source: str | None = None,
    tokenizer_paths: list[Annotated[Path, Files("tokenizer.json")]] | None = None,
    sample_rows: Annotated[int, Ge(1)] = 20_000,
    examples: Count = 3,
    seed: Seed = 7,
    out: Path,
) -> Card:
    """Measure a dataset, and show it on one page that needs no network.

    All rows: sizes, lengths, exact duplicates, every column, labels, sources. A random sample: languages,
    near-duplicates, readability, quality, personal data, diversity, words for groups of people. Given a target: how
    like it the data is. Given tokenizers: how they cut these texts. What looks skewed is said in words. Written to
    `profile.json` and `page.html`; a table without texts gets the statistics of its columns.

    Args:
        data: any rows.
        target: what the data should be like; compared by its own text column of the same name.
        model: an encoder, for diversity and likeness by meaning; without it they go by shared words.
        tokenizers: what train.tokenizer or train.base made, by name.
        column: the text; by default `text`, or else the column of strings with the longest values.
        label, language, source: columns; by default those of these names. Without a language column languages are
            identified.
        tokenizer_paths: further tokenizers: folders that hold a tokenizer.json.
        sample_rows: the most rows that are sampled; each text is cut after 10,000 characters.
        examples: how many examples of each kind are shown.
        seed: of the sample and of all that is random.

    Raises:
        InputError: a column is missing, the dataset is empty, or a comparison has too few texts.
    """
    for package, extra in NEEDS.items():
        if importlib.util.find_spec(package) is None:
            raise MissingDependency("data.profile", package, extra)
    import numpy as np

    from loomwork.data.profiling import against, tokenizing
    from loomwork.data.profiling import scan as scanning
    from loomwork.data.profiling.page import write_page
    from loomwork.data.profiling.skew import warnings

    roles = scanning.find_roles(data, column, label, language, source)
    if not roles.text and (target or model or tokenizers or tokenizer_paths):
        raise InputError("the dataset has no text, which target, model and tokenizers are for", "name it: column=...")
    opened = tokenizing.opened(tokenizers or {}, tokenizer_paths or [])
    order = np.random.default_rng(seed)
    found = scanning.scan(data, roles, sample_rows, order)
    report: dict[str, Any] = {"rows": found.rows, "roles": asdict(roles), "seed": seed, "part": data.main_part}
    report["columns"] = {
        name: tally.to_json(found.sample[name] if name in found.sample.columns else None)
        for name, tally in found.columns.items()
        if name != roles.text
    }
    sources, report["source_unit"] = scanning.by_folder(found.groups.get("source", {}))
    found.groups |= {"source": sources} if sources else {}
    report["groups"] = {role: _ordered(groups) for role, groups in found.groups.items()}
    balance = _balance(report["groups"].get("label", {}))
    if balance:
        report["label_balance"] = balance
    scores: list[Score] = []
    if roles.text and found.chars.total:
        sample = _sample(found, roles, order)
        other = []
        if target is not None:
            other = _target_texts(target, roles.text, sample_rows, seed)
            against.require_enough(sample.texts, other)
        embed = _embed(model)
        report["text"] = _text(found)
        report["sampled"] = _sampled(found, sample, roles, embed, examples, seed)
        if opened:
            report["tokenizers"] = tokenizing.tokenizing(sample, opened)
        if target is not None:
            mixed = [sample.texts[i] for i in sample.shuffled]
            report["target"], interval, scored = against.against(mixed, other, embed, seed)
            _write_two_sample(out, scored, sample.rows[sample.shuffled])
            scores.append(_score(data, target, model, report["target"], interval, seed))
    report["warnings"] = warnings(report)
    write_json(out / "profile.json", _rounded(report))
    write_page(_rounded(report), out / "page.html")
    return Card(
        metrics=_metrics(report), scores=scores, notes=[f"{w['about']}: {w['text']}" for w in report["warnings"]]
    )


def _sample(found: Scan, roles: Roles, order: np.random.Generator) -> Sample:
    import numpy as np
    import polars as pl

    from loomwork.data.profiling.sampled import Sample, identified
    from loomwork.data.profiling.scan import ROW, SAMPLE_CHARS, place_of

    rows = found.sample.filter(pl.col(roles.text).str.strip_chars().str.len_chars() > 0)
    mixed = order.permutation(len(rows))
    size = np.cumsum(rows[roles.text].str.len_chars().to_numpy()[mixed])
    rows = rows[np.sort(mixed[: max(1, np.searchsorted(size, SAMPLE_CHARS))])]
    texts = rows[roles.text].to_list()
    blank = [""] * len(texts)
    languages = rows[roles.language].fill_null("").to_list() if roles.language else identified(texts, context().threads)
    sources = rows.select(place_of(pl.col(roles.source)).fill_null("")).to_series().to_list() if roles.source else blank
    return Sample(texts, np.asarray(rows[ROW]), languages, sources, order.permutation(len(texts)))


def _text(found: Scan) -> dict[str, Any]:
    """What is known of the texts of all rows."""
    import numpy as np

    from loomwork.data.profiling.sampled import QUANTILES

    def lengths(histogram: Any) -> dict[str, Any]:
        edges = np.unique(np.round(np.geomspace(max(1, histogram.low), histogram.high + 1, 33)))
        return {
            "total": histogram.sum,
            "mean": histogram.mean,
            "low": histogram.low,
            "high": histogram.high,
            "quantiles": {f"{q:g}": histogram.quantile(q) for q in QUANTILES},
            "histogram": {"edges": edges.tolist(), "counts": histogram.bars(edges).tolist()},
        }

    return {
        "bytes": found.bytes,
        "empty": found.empty,
        "damaged": found.damaged,
        "texts": found.chars.total,
        "characters": lengths(found.chars),
        "words": lengths(found.words),
        "exact_duplicates": {"share": found.texts.repeated, "exact": found.texts.exact},
    }


def _sampled(
    found: Scan,
    sample: Sample,
    roles: Roles,
    embed: Callable[[Sequence[str]], np.ndarray] | None,
    examples: int,
    seed: int,
) -> dict[str, Any]:
    from loomwork.data.profiling import sampled as s
    from loomwork.data.profiling.personal import personal_rate
    from loomwork.data.profiling.scan import CUT_CHARS
    from loomwork.data.profiling.variety import variety

    measures: dict[str, Any] = {"rows": len(found.sample), "texts": len(sample.texts)}
    measures["all"] = len(sample.texts) == found.chars.total
    measures["cut"] = sum(len(t) == CUT_CHARS for t in sample.texts)
    if not roles.language:
        measures["languages"] = s.language_counts(sample.languages)
    measures["near_duplicates"] = s.near_duplicate_rate(sample.texts, context().threads)
    measures["readability"] = s.readability_of(sample)
    measures["quality"] = s.quality_of(sample.texts)
    measures["personal"] = personal_rate(sample.texts)
    measures["people"] = s.people(sample)
    measures["variety"] = variety(sample, embed, seed)
    measures["examples"] = s.examples_of(sample, found.extremes, examples)
    return measures


def _embed(model: Model | None) -> Callable[[Sequence[str]], np.ndarray] | None:
    """Vectors of texts, each text embedded once; None without a model."""
    if model is None:
        return None
    import numpy as np

    from loomwork.models.encoder import load_encoder

    encoder = load_encoder(model, threads=context().threads)
    known: dict[str, np.ndarray] = {}

    def embed(texts: Sequence[str]) -> np.ndarray:
        new = list(dict.fromkeys(t for t in texts if t not in known))
        known.update(zip(new, encoder.embed(new), strict=True))
        return np.stack([known[t] for t in texts])

    return embed


def _target_texts(target: Dataset, column: str, sample_rows: int, seed: int) -> list[str]:
    """A random sample of the target's texts, in random order."""
    import numpy as np

    from loomwork.data._rows import require_text
    from loomwork.data.profiling.scan import Roles, scan

    require_text(target, column)
    order = np.random.default_rng(seed)
    texts = scan(target, Roles(text=column), sample_rows, order).sample[column].to_list()
    return [texts[i] for i in order.permutation(len(texts)) if texts[i] and texts[i].strip()]


def _write_two_sample(out: Path, scored: dict[str, np.ndarray], rows: np.ndarray) -> None:
    """The score of each compared text: `row` is its number in the data, null for a text of the target."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ours = int((~scored["is_target"]).sum())
    numbers = [int(r) for r in rows[:ours]] + [None] * (len(scored["fold"]) - ours)
    (out / "two_sample").mkdir()
    pq.write_table(pa.table({"row": numbers, **scored}), out / "two_sample" / "00000.parquet", compression="zstd")


def _score(
    data: Dataset, target: Dataset, model: Model | None, compared: dict[str, Any], interval: Interval, seed: int
) -> Score:
    return Score(
        name="two-sample auc",
        value=compared["auc"]["value"],
        unit="probability",
        direction="lower is better",
        n=compared["texts"] + compared["target_texts"],
        cluster_unit="text",
        n_clusters=compared["texts"] + compared["target_texts"],
        interval=interval,
        items="two_sample",
        data=digest([data.digest, target.digest]),
        model=model.digest if model else "none",
        settings=digest({"features": compared["features"], "seed": seed}),
        contamination="checked",
        contamination_note="cross-fitted: a text's fold, with all exact copies of it, is left out of training",
        seed=seed,
    )


def _ordered(groups: dict[str, list[int]]) -> dict[str, list[int]]:
    """The largest first."""
    return dict(sorted(groups.items(), key=lambda pair: (-pair[1][0], pair[0])))


def _balance(labels: dict[str, list[int]]) -> dict[str, float]:
    """How evenly the rows with a label are spread over the classes; nothing without labels."""
    from loomwork.stats.concentration import effective_number, imbalance, normalised_entropy

    counts = [n for name, (n, _) in labels.items() if name]
    if not counts:
        return {}
    return {
        "classes": len(counts),
        "effective_classes": effective_number(counts),
        "normalised_entropy": normalised_entropy(counts),
        "largest_by_smallest": imbalance(counts),
    }


def _metrics(report: dict[str, Any]) -> dict[str, float]:
    """The plain counts for the card; what is estimated from a sample stands in the profile, with the sample's size."""
    metrics: dict[str, float] = {"rows": report["rows"], "columns": len(report["columns"])}
    if "text" in report:
        text = report["text"]
        metrics |= {"bytes": text["bytes"], "characters": text["characters"]["total"], "words": text["words"]["total"]}
        metrics |= {"empty_texts": text["empty"], "rows_sampled": report["sampled"]["rows"]}
    for name, value in report.get("label_balance", {}).items():
        metrics[f"labels: {name}"] = value
    return metrics | {"warnings": len(report["warnings"])}


def _rounded(value: Any) -> Any:
    """Six significant digits: sums of floats may differ in their last ones from machine to machine."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(v) for key, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value
