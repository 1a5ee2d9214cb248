"""Which base model? Candidates side by side on the user's own task, before any of them is trained."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge

from loomwork.core.artifact import Model, digest
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.ranges import Level, Seed
from loomwork.core.score import Score, write_scores
from loomwork.core.step import Card, step

if TYPE_CHECKING:
    import numpy as np

    from loomwork.stats.paired import Decision

TIMED = 64  # texts of the measurement of speed
STRENGTHS = (0.01, 0.1, 1.0, 10.0)  # inverses of the probe's penalty, chosen among inside each training part
NOTE = "a base's own training data is unknown here: it may have seen these texts"
USES = ("numpy", "pyarrow", "scikit-learn", "scipy", "tokenizers", "torch", "transformers")


@dataclass(frozen=True)
class Candidate:
    """What is known of a base: all but its score.

    Args:
        parameters: that its files hold.
        bytes: of its files.
        tokens_per_word, bytes_per_token: of its tokenizer on these texts.
        unknown_share: of tokens that stand for what the vocabulary lacks.
        texts_per_second: read as they were for the score, on this machine.
        licence: an SPDX name, or "unknown".
    """

    parameters: int
    bytes: int
    tokens_per_word: float
    bytes_per_token: float
    unknown_share: float
    texts_per_second: float
    licence: str


@step(makes="scores", uses=USES, heavy=True, measures=True)
def pick_base(
    data: Dataset,
    bases: dict[str, Model],
    *,
    text: str = "text",
    label: str | None = None,
    rows: Annotated[int, Ge(20)] = 1000,
    max_tokens: Annotated[int, Ge(8)] = 256,
    folds: Annotated[int, Ge(2)] = 5,
    level: Level = 0.95,
    seed: Seed = 0,
    out: Path,
) -> Card:
    """Compare base models on a sample of the texts that one of them is to be trained for; trains none.

    - without `label`, causal models: bits per byte of the texts, as the models come (zero-shot).
    - with `label`, any models: how often a logistic regression on their frozen, mean-pooled vectors is right about the
      label of a text that it was not fitted on (a linear probe, cross-fitted).

    Beside the score: how the tokenizer fits the texts, size, speed on this machine, and licence. bases.html shows all
    of it. The notes say which base is best, and whether by more than noise: against each other one on the same texts,
    corrected for how many there are.

    Args:
        data: texts of the task. Give held-out ones where the choice is to be reported with the result.
        bases: by name.
        text: the column of texts; rows without one are passed over.
        label: the column of classes.
        rows: how many texts are taken, at random.
        max_tokens: how much of a text the probe reads, where the model itself does not say less.
        folds: of the cross-fit.
        level: of the intervals.
        seed: of the sample, of the folds and of the bootstrap.

    Raises:
        InputError: fewer than two bases, too few texts or classes, or a base that gives no such score.

    Source: Alain and Bengio 2016, arXiv:1610.01644 (linear probes); Gao et al. 2020, arXiv:2101.00027 (bits per byte).
    """
    import pyarrow as pa

    from loomwork.metrics.language import bytes_of

    if len(bases) < 2:
        raise InputError(
            f"there are {len(bases)} bases to compare", "for example bases: {small: $small, large: $large}"
        )
    row_ids, texts, labels = taken(data, text, label, rows, seed)
    if label is not None:
        _check_labels(labels, label, folds)
    size = bytes_of(texts)
    values: dict[str, np.ndarray] = {}  # higher is better
    candidates: dict[str, Candidate] = {}
    for done, (name, base) in enumerate(bases.items()):
        context().progress(done, len(bases), "bases", note=name)
        try:
            read = _vectors_of(base, max_tokens) if label is not None else _bits_of(base)
            found = read(texts)
            began = time.perf_counter()
            read(texts[:TIMED])
            speed = min(TIMED, len(texts)) / (time.perf_counter() - began)
            candidates[name] = describe(base, texts, speed)
        except InputError as error:
            raise InputError(f"base {name!r}: {error.what}", error.hint) from error
        values[name] = probed(found, labels, folds, seed) if label is not None else -found / size

    stated = {
        "data": data.digest,
        "settings": digest([text, label, rows, max_tokens if label else 0, folds if label else 0, seed]),
        "cluster_unit": "text",
        "contamination": "unknown",
        "contamination_note": NOTE,
        "items": "items",
        "seed": seed,
    }
    weights = None if label is not None else size
    scores = {name: _score(name, values[name], weights, level, bases[name].digest, stated) for name in bases}
    order = sorted(bases, key=lambda n: scores[n].value if label is not None else -scores[n].value, reverse=True)
    against = compared(values, order, weights, 1 - level, seed)
    columns: dict[str, Any] = {"row_id": pa.array(row_ids, pa.binary(16)), "cluster": pa.nulls(len(texts), pa.string())}
    if weights is not None:
        columns["weight"] = pa.array(weights)
    columns |= {scores[n].name: pa.array(v if label is not None else -v) for n, v in values.items()}
    extra = {"bases": {name: asdict(candidate) for name, candidate in candidates.items()}, "order": order}
    write_scores(out, list(scores.values()), pa.table(columns), extra)
    lead = verdict(order, against, 1 - level)
    write_page(out / "bases.html", order, scores, candidates, lead, decided=_beyond(against, 1 - level))
    metrics = {
        f"{name}.{key}": float(value)
        for name, candidate in candidates.items()
        for key, value in asdict(candidate).items()
        if key != "licence"
    }
    notes = [lead, *(f"{name}: licence {c.licence}" for name, c in candidates.items()), NOTE]
    return Card(metrics=metrics | {"texts": float(len(texts))}, scores=list(scores.values()), notes=notes)


def taken(
    data: Dataset, text: str, label: str | None, rows: int, seed: int
) -> tuple[list[bytes], list[str], list[str]]:
    """Ids, texts and labels of a random sample of the rows that have them.

    Raises:
        InputError: a column is missing, or there are fewer than 20 such rows.
    """
    import numpy as np

    columns = [text, *([label] if label else [])]
    data.require(*columns)
    data.require_rows()
    good: list[tuple[bytes, str, str]] = []
    chosen = np.random.default_rng(seed).permutation(len(data))
    rank = np.empty(len(data), np.int64)
    rank[chosen] = np.arange(len(data))
    at = 0
    for batch in data.batches([*columns, "row_id"]):
        lists = [batch.column(c).to_pylist() for c in ("row_id", *columns)]
        for i, row in enumerate(zip(*lists, strict=True), at):
            if rank[i] < 2 * rows and isinstance(row[1], str) and row[1].strip() and row[-1] is not None:
                good.append((bytes(row[0]), row[1], str(row[-1])))
        at += batch.num_rows
    if len(good) < 20:
        raise InputError(
            f"{len(good)} rows have {' and '.join(columns)}: too few to tell bases apart", "give 20 or more"
        )
    kept = (
        good
        if len(good) <= rows
        else [good[i] for i in np.sort(np.random.default_rng(seed).permutation(len(good))[:rows])]
    )
    ids, texts, labels = (list(column) for column in zip(*kept, strict=True))
    return ids, texts, labels


def _check_labels(labels: list[str], column: str, folds: int) -> None:
    counts = {name: labels.count(name) for name in set(labels)}
    rare = min(counts, key=lambda n: (counts[n], n))
    if not 2 <= len(counts) <= len(labels) // 2:
        raise InputError(
            f"column {column!r} has {len(counts)} classes in {len(labels)} texts", "is it the right column?"
        )
    if counts[rare] < folds:
        raise InputError(
            f"class {rare!r} of column {column!r} has {counts[rare]} texts in the sample, fewer than {folds} folds",
            "set larger rows, fewer folds, or leave such classes out with data.rows_where",
        )


def _bits_of(base: Model) -> Any:
    """A function from texts to their bits under a causal model."""
    from loomwork.metrics.language import bits
    from loomwork.models.scorer import load_scorer
    from loomwork.models.scoring.requests import Rolling

    try:
        scorer = load_scorer(base)
    except InputError as error:
        raise InputError(error.what, error.hint or "give label, which any model can be compared by") from error

    def read(texts: list[str]) -> np.ndarray:
        answers = scorer.score([Rolling(text, "overlapping") for text in texts])
        if failed := next((a.failed for a in answers if a.failed), ""):
            raise InputError(f"a text has no log-probability: {failed}")
        return bits([a.log_probability for a in answers])

    return read


def _vectors_of(base: Model, max_tokens: int) -> Any:
    """A function from texts to the mean-pooled vectors of a model's last layer, for any model that has one."""
    from loomwork.models.encoder import Encoder, load_tokenizer
    from loomwork.models.engines import find_engine
    from loomwork.models.folder import read_about, read_context

    about = read_about(base)
    engine = about.engine if about.task == "embed" else "torch"
    most = min(about.max_tokens or max_tokens, max_tokens, read_context(base))
    read = replace(about, pooling="mean", max_tokens=most)
    return Encoder(read, load_tokenizer(base), find_engine(engine).encoder(base, read, context().threads)).embed


def probed(vectors: np.ndarray, labels: list[str], folds: int, seed: int) -> np.ndarray:
    """Whether a logistic regression on the other folds is right about each text: 1 or 0.  # (texts,)

    Args:
        vectors: of the texts.  # (texts, dim)
        labels: of each.
        folds: how many parts, each with its share of every class.
        seed: of the parts.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    wanted = np.array(labels)
    right = np.zeros(len(wanted))
    inner = StratifiedKFold(2, shuffle=True, random_state=seed)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    search = GridSearchCV(probe, {"logisticregression__C": STRENGTHS}, cv=inner)
    for fitted, tested in StratifiedKFold(folds, shuffle=True, random_state=seed).split(vectors, wanted):
        search.fit(vectors[fitted], wanted[fitted])
        right[tested] = search.predict(vectors[tested]) == wanted[tested]
    return right


def describe(base: Model, texts: list[str], texts_per_second: float) -> Candidate:
    """Tokenizer, size and licence of a base."""
    from loomwork.models.encoder import load_tokenizer
    from loomwork.models.folder import WEIGHTS, read_about
    from loomwork.models.stored import stored_numbers
    from loomwork.text.spdx import spdx_id
    from loomwork.text.tokens import count_tokens

    counts = count_tokens(load_tokenizer(base), texts)
    tokens = max(1, int(counts.tokens.sum()))
    return Candidate(
        parameters=stored_numbers(base.path / WEIGHTS),
        bytes=sum(part["bytes"] for part in base.manifest["parts"].values()),
        tokens_per_word=tokens / max(1, int(counts.words.sum())),
        bytes_per_token=int(counts.bytes.sum()) / tokens,
        unknown_share=int(counts.unknown.sum()) / tokens,
        texts_per_second=texts_per_second,
        licence=spdx_id(read_about(base).licence) or "unknown",
    )


def _score(
    name: str, values: np.ndarray, weights: np.ndarray | None, level: float, model: str, stated: dict[str, Any]
) -> Score:
    """The Score of one base; with weights, of bits per byte, whose values are turned."""
    from loomwork.stats.bootstrap import ratio_interval
    from loomwork.stats.interval import mean_interval

    common = {"n": len(values), "n_clusters": len(values), "model": model, **stated}
    if weights is None:
        interval = mean_interval(values, level=level, seed=stated["seed"])
        return Score(
            name=f"probe accuracy: {name}",
            value=float(values.mean()),
            unit="share of texts",
            direction="higher is better",
            interval=interval,
            **common,
        )
    bits = -values * weights
    return Score(
        name=f"bits per byte: {name}",
        value=float(bits.sum() / weights.sum()),
        unit="bits per byte",
        direction="lower is better",
        interval=ratio_interval(bits, weights, level=level, seed=stated["seed"]),
        **common,
    )


def compared(
    values: dict[str, np.ndarray], order: list[str], weights: np.ndarray | None, alpha: float, seed: int
) -> dict[str, tuple[Decision, float]]:
    """The best base against each other one, on the same texts: the decision, and its p-value by Holm's method."""
    from loomwork.stats.multiple import holm
    from loomwork.stats.paired import Margin, better_than

    best, *rest = order
    decisions = [
        better_than(values[best], values[n], Margin(0.0), weights=weights, alpha=alpha, seed=seed) for n in rest
    ]
    adjusted = holm([min(1.0, 2 * d.p_value) for d in decisions])  # twice: the side was chosen by looking
    return {n: (d, p) for n, d, p in zip(rest, decisions, adjusted, strict=True)}


def _beyond(against: dict[str, tuple[Decision, float]], alpha: float) -> bool:
    return all(p <= alpha for _, p in against.values())


def verdict(order: list[str], against: dict[str, tuple[Decision, float]], alpha: float) -> str:
    """Which base is best, in a sentence."""
    near = [name for name, (_, p) in against.items() if p > alpha]
    if not near:
        largest = max(p for _, p in against.values())
        return f"{order[0]} is best, beyond noise (corrected p = {largest:.2g})"
    return (
        f"{order[0]} scores best, but not beyond noise against {', '.join(near)}: take the cheaper one, or more texts"
    )


def write_page(
    path: Path,
    order: list[str],
    scores: dict[str, Score],
    candidates: dict[str, Candidate],
    lead: str,
    *,
    decided: bool,
) -> None:
    """Write the table as one HTML file that needs nothing else."""
    from loomwork.report import numbers
    from loomwork.report.forest import Estimate, forest_plot
    from loomwork.report.page import Cell, Column, Figure, Page, Row, Section, Table, render
    from loomwork.report.svg import Svg

    first = scores[order[0]]
    titles = ["Tokens a word", "Bytes a token", "Unknown tokens", "Parameters", "Files", "Texts a second"]
    columns = [Column("Base"), Column(first.unit, "number"), *(Column(t, "number") for t in titles), Column("Licence")]
    rows = []
    for name in order:
        score, known = scores[name], candidates[name]
        cells = [
            f"{known.tokens_per_word:.2f}",
            f"{known.bytes_per_token:.2f}",
            f"{known.unknown_share:.2%}",
            numbers.short(known.parameters),
            numbers.bytes_(known.bytes),
            numbers.short(known.texts_per_second),
        ]
        value = Cell(f"{score.value:.4g}", note=f"{score.interval.low:.4g} to {score.interval.high:.4g}")
        rows.append(Row([name, value, *cells, known.licence], strong=name == order[0]))
    estimates = [
        Estimate(n, s.value, s.interval.low, s.interval.high, tone="on" if n == order[0] else "plain")
        for n in order
        for s in [scores[n]]
    ]

    def draw(width: int) -> Svg:
        lower = first.direction == "lower is better"
        return forest_plot(estimates, title=first.unit, x_label=first.unit, lower_is_better=lower, width=width)

    page = Page(
        title="Which base model?",
        kicker="Before a training run",
        lead=lead[0].upper() + lead[1:] + ".",
        lead_verdict="good" if decided else "open",
        facts=[("Texts", numbers.plain(first.n)), ("Intervals", f"{first.interval.level:.0%}")],
        sections=[
            Section("Scores", f"{first.direction.capitalize()}.", [Figure.of(draw)]),
            Section(
                "All that was measured", "", [Table(columns, rows, "Bases, the best first", note=NOTE.capitalize())]
            ),
        ],
        footer="Made by Loomwork. This file is complete; its numbers stand in scores.json and extra.json beside it.",
    )
    path.write_text(render(page), encoding="utf-8")
