"""Fine-tune a model to tag words: named entities, parts of speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Card, Group, step
from loomwork.learn.settings import TAG_METRICS, Adapter, Rows, Share, Training, made_parts, together


@step(
    makes="model",
    uses=["torch", "transformers", "tokenizers", "safetensors", "numpy"],
    heavy=True,
    parallel=True,
    parts=made_parts,
    checks=together(*TAG_METRICS),
)
def tag(
    base: Model,
    data: Dataset,
    holdout: Dataset | None = None,
    *,
    words: str = "tokens",
    tags: str = "tags",
    dropout: Share = 0.1,
    label_smoothing: Share = 0.0,
    class_weights: Literal["none", "balanced"] = "none",
    max_tokens: Annotated[int, Ge(3)] = 128,
    rows: Annotated[Rows, Group()] = Rows(epochs=3.0, batch=16),
    training: Annotated[Training, Group()] = Training(schedule="linear"),
    tuning: Annotated[Adapter, Group()] = Adapter(),
    out: Path,
) -> Card:
    """Train a model with an output layer of tags, one for each word of a sentence.

    A word's tag is learned at its first token. The folder opens in transformers' AutoModelForTokenClassification;
    evals.tag predicts with it, and evals.ner scores.

    Args:
        base: an encoder.
        data: sentences as lists of words and of tags, such as data.read makes of CoNLL files. Rows without words, or
            with as many tags as words not, are left out and counted.
        holdout: the same, to watch: `holdout_loss`, `holdout_accuracy` of words, and `holdout_entity_f1` where all tags
            are such as B-person. A tag that is not in `data` counts as O.
        words: the column of words.
        tags: the column of tags; the classes are those that occur.
        dropout: everywhere in the model.
        label_smoothing: how much of the target is spread over all tags.
        class_weights: "balanced" weighs each word by the inverse frequency of its tag.
        max_tokens: how much of each sentence is read; words beyond are not learned, and counted.

    Raises:
        InputError: a column is missing or holds no lists, there are fewer than two tags, or a held-out one is none of
            them and there is no O.

    Source: Devlin et al. 2018, arXiv:1810.04805 (the first token of each word).
    """
    import torch

    from loomwork.learn.encoder_run import batches_for, open_trained, run_encoder
    from loomwork.learn.judges import TagJudge
    from loomwork.learn.objectives import Outputs, TokenObjective
    from loomwork.learn.objectives import class_weights as weights_of
    from loomwork.learn.order import RowOrder
    from loomwork.learn.padded import pad_targets
    from loomwork.learn.written import about_trained, write_trained
    from loomwork.models.cross_entropy import IGNORED
    from loomwork.models.folder import within_context
    from loomwork.train.classify import label_config

    training.check_stop(TAG_METRICS)
    max_tokens, notes = within_context(base, max_tokens, tuning.tokens_before)
    tagged = read_tagged(base, data, words, tags, max_tokens)
    held = read_tagged(base, holdout, words, tags, max_tokens, tagged.classes) if holdout is not None else None
    config = label_config(tagged.classes) | {"problem_type": None}
    model = open_trained(base, "tokens", training, tuning, dropout=dropout, **config)
    flat = torch.tensor([t for row in tagged.targets for t in row if t != IGNORED])
    weights = weights_of(torch.bincount(flat, minlength=len(tagged.classes)), class_weights)
    outputs = Outputs(model, getattr(torch, context().precision))
    objective = TokenObjective(outputs, weights, label_smoothing).to(context().device)

    def batches(given: Tagged) -> Any:
        def weigh(chosen: Sequence[int]) -> float:
            wanted = torch.tensor([t for r in chosen for t in given.targets[r] if t != IGNORED], dtype=torch.long)
            return float(weights[wanted].sum())

        def make(chosen: list[int], step: int) -> dict[str, Any]:
            return {"targets": pad_targets([given.targets[r] for r in chosen], IGNORED)}

        return batches_for(model, given.ids, RowOrder(len(given.ids), rows.batch, training.seed), make, weigh)

    steps = rows.count(len(tagged.ids))
    settings = [base.id, data.digest, words, tags, dropout, label_smoothing, class_weights, max_tokens]
    mark = ["tag", *settings, asdict(rows)]
    taken = batches(tagged)
    watched, judge = batches(held) if held else None, TagJudge(tagged.classes)
    run = run_encoder(model, objective, taken, watched, steps, training, tuning, mark, judge=judge)
    about = about_trained("train.tag", base, data, [words, tags], training)
    about = replace(about, task="tag", engine="torch", max_tokens=max_tokens)
    lengths = [len(i) for i in tagged.ids]
    steps = write_trained(
        run, base, "tokens", about, tuning, out,
        order=taken.order, row_ids=tagged.row_ids, lengths=lengths, config=config,
    )  # fmt: skip
    counted = {
        "epochs": steps * rows.batch / len(tagged.ids),
        "rows": float(len(tagged.ids)),
        "rows_left_out": float(tagged.left_out),
        "words_beyond_max_tokens": float(tagged.beyond),
        "classes": float(len(tagged.classes)),
    }
    return Card(metrics=run.metrics | counted, notes=[*run.notes, *notes, f"tags: {', '.join(tagged.classes[:20])}"])


@dataclass(frozen=True)
class Tagged:
    """Tagged sentences, in the order of the data.

    Args:
        ids: token ids of each.
        targets: for each token the number of its word's tag, IGNORED where the word began before.
        classes: the tags in order.
        row_ids: of the dataset.
        left_out: how many rows could not be learned from.
        beyond: how many words lay beyond max_tokens.
    """

    ids: list[list[int]]
    targets: list[list[int]]
    classes: list[str]
    row_ids: list[bytes]
    left_out: int
    beyond: int


def read_tagged(
    base: Model, data: Dataset, words: str, tags: str, max_tokens: int, classes: list[str] | None = None
) -> Tagged:
    """Read and tokenise tagged sentences.

    Args:
        classes: the tags that there are; None takes those that occur. A tag that is none of them counts as O.

    Raises:
        InputError: nothing can be learned from, there are fewer than two tags, or one is strange and there is no O.
    """
    from loomwork.models.cross_entropy import IGNORED
    from loomwork.models.encoder import load_tokenizer
    from loomwork.models.tagger import encode_words

    data.require(words, tags)
    data.require_rows()
    tokenizer = load_tokenizer(base)
    sentences: list[list[str]] = []
    said: list[list[str]] = []
    row_ids: list[bytes] = []
    left_out = 0
    for row in data.rows([words, tags, "row_id"]):
        given, labels = row[words], row[tags]
        if not _fits(given, labels):
            left_out += 1
            continue
        sentences.append([str(w) for w in given])
        said.append([str(t) for t in labels])
        row_ids.append(bytes(row["row_id"]))
    if not sentences:
        raise InputError(f"no row has lists of as many {words!r} as {tags!r}", "data.read makes them of CoNLL files")
    known = classes or sorted({t for row in said for t in row})
    if len(known) < 2:
        raise InputError(f"column {tags!r} has the one tag {known[0]!r}: there is nothing to tell apart")
    place = {name: i for i, name in enumerate(known)}
    strange = {t for row in said for t in row} - set(known)
    if strange and "O" not in place:
        raise InputError(f"the tag {min(strange)!r} is none of the training data's", "tag both in the same way")
    ids, targets, beyond = [], [], 0
    for (tokens, starts), labels in zip(encode_words(tokenizer, sentences, max_tokens), said, strict=True):
        row_targets = [IGNORED] * len(tokens)
        for at, word in starts:
            row_targets[at] = place.get(labels[word], place.get("O", IGNORED))
        beyond += len(labels) - len(starts)
        ids.append(tokens)
        targets.append(row_targets)
    return Tagged(ids, targets, known, row_ids, left_out, beyond)


def _fits(words: Any, tags: Any) -> bool:
    lists = isinstance(words, list) and isinstance(tags, list)
    return lists and len(words) == len(tags) > 0 and all(w is not None and t for w, t in zip(words, tags, strict=True))
