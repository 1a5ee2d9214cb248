"""New tokens for a model and its tokenizer: control tokens, and words that it cuts into pieces."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Card, step

TOKENIZER = "tokenizer.json"
BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # of a letter that a BPE vocabulary lacks: such tokens cannot be joined
CONTINUES = "##"  # before a WordPiece that is no word's first


@step(makes="model", uses=["torch", "transformers", "tokenizers", "safetensors"], heavy=True)
def extend(
    base: Model,
    data: Dataset | None = None,
    *,
    tokens: list[str] | None = None,
    words: Annotated[int, Ge(0)] = 0,
    text: str = "text",
    least_count: Annotated[int, Ge(1)] = 10,
    out: Path,
) -> Card:
    """Add tokens to a model and its tokenizer; each begins as the mean of the pieces that it was cut into before.

    The logits of the old tokens stay what they were; the new ones take their share of the probability. Tied embeddings
    stay tied. The folder opens in transformers. Words become part of the tokenizer's own vocabulary (BPE and
    WordPiece), so that any text is still written and read back unchanged; a new word of BPE may need tokens for its
    beginnings too.

    Args:
        base: a model of any kind, with its tokenizer.
        data: texts to find words in.
        tokens: control tokens, such as "<|im_start|>": never cut, and skipped where a text is read back.
        words: the most words to add: those that save most tokens in the data.
        text: the column of texts.
        least_count: how often a word must occur in them.

    Raises:
        InputError: there is nothing to add, a token is known already, or the tokenizer's kind takes no words.

    Source: Hewitt 2021, Initializing new word embeddings for pretrained language models (the mean).
    """
    import torch
    from transformers import AutoTokenizer

    from loomwork.learn.model_io import copy_beside, write_weights
    from loomwork.models.chat_template import load_tokenizer
    from loomwork.models.folder import read_about

    if (data is None) != (words == 0):
        raise InputError("words are found in data: give both, or none", "for example data: $raw, words: 100")
    given = list(tokens or [])
    if not given and not words:
        raise InputError("there is nothing to add", "give tokens: [<|im_start|>], or data: $raw and words: 100")
    old: Any = load_tokenizer(base)
    known = old.get_vocab()
    for token in given:
        if token in known or given.count(token) > 1 or not token.strip():
            raise InputError(f"the token {token!r} is there already, or twice, or empty", "leave it out")
    copy_beside(base, out)
    pieces: dict[str, list[int]] = {token: _ids(old, token) for token in given}
    asked: list[str] = []
    if data is not None:
        data.require(text)
        data.require_rows()
        asked = words_to_add(old, data, text, words, least_count)
        pieces |= add_words(out / TOKENIZER, old, asked)
    made: Any = AutoTokenizer.from_pretrained(out, local_files_only=True)
    if given:
        extra = {"additional_special_tokens": given}
        made.add_special_tokens(extra, replace_extra_special_tokens=False)
    made.save_pretrained(out)
    rows = {made.convert_tokens_to_ids(token): ids for token, ids in pieces.items()}
    whole = [word for word in asked if len(_ids(made, f"x {word}")) - len(_ids(made, "x")) == 1]

    model = open_whole(base)
    before = model.get_input_embeddings().weight.shape[0]
    need = max(made.get_vocab().values()) + 1
    if need > before:
        model.resize_token_embeddings(need, mean_resizing=False)
    with torch.no_grad():
        for weight in _tables(model):
            for row, ids in rows.items():
                weight[row] = weight[ids].mean(0)
    about = read_about(base)
    training = {"step": "train.extend", "base": base.id, "tokens": given, "words": len(whole)}
    write_weights(model, base, replace(about, training=training), out)
    metrics = {
        "tokens_added": len(rows),
        "words_added": len(whole),
        "vocabulary": len(made),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    notes = [f"words: {', '.join(whole[:20])}"] if whole else []
    if len(whole) < words:
        notes.append(f"{len(whole)} of {words} words: no more occur {least_count} times and are one token now")
    return Card(metrics={k: float(v) for k, v in metrics.items()}, notes=notes)


def open_whole(base: Model) -> Any:
    """A model with the output layer that its config.json names, in float32.

    Raises:
        InputError: it has none that transformers knows, does not open, or has learned what is in no weights.
    """
    import transformers

    from loomwork.models.complete import open_complete
    from loomwork.models.opened import refuse_unmerged

    refuse_unmerged(base)
    named = (base.read_json("config.json").get("architectures") or ["AutoModel"])[0]
    kind = getattr(transformers, named, None)
    if kind is None:
        raise InputError(f"{base.path} is a {named}, which this version of transformers does not know")
    try:
        return open_complete(kind, base.path)[0]
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{base.path} does not open as {named}: {error}") from error


def _tables(model: Any) -> list[Any]:
    """The weights with a row for each token: of the embedding, of the output layer where it is its own, its bias."""
    tables = [model.get_input_embeddings().weight]
    head = model.get_output_embeddings()
    if head is not None:
        if head.weight is not tables[0]:
            tables.append(head.weight)
        if getattr(head, "bias", None) is not None:
            tables.append(head.bias)
    return tables


def _ids(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return found


def words_to_add(tokenizer: Any, data: Dataset, column: str, most: int, least_count: int) -> list[str]:
    """The words that cost most tokens beyond the first, the costliest first; none with letters unknown to it."""
    from loomwork.text.tokens import unknown_id
    from loomwork.text.words import WORD

    strange = {i for token, i in tokenizer.get_vocab().items() if BYTE.fullmatch(token)}
    strange |= {unknown_id(tokenizer.backend_tokenizer)} - {None}
    counts: Counter[str] = Counter()
    done, total = 0, len(data)
    for batch in data.batches([column], rows=1024):
        for value in batch.column(column).to_pylist():
            counts.update(w for w in WORD.findall(value or "") if w.isalpha())
        done += batch.num_rows
        context().progress(done, total, "texts")
    frequent = [word for word, n in counts.items() if n >= least_count]
    alone = len(_ids(tokenizer, "x"))
    cost = {}
    for word in frequent:
        ids = _ids(tokenizer, f"x {word}")[alone:]
        cost[word] = 0 if strange & {*ids} else counts[word] * (len(ids) - 1)
    return sorted((w for w in frequent if cost[w] > 0), key=lambda w: (-cost[w], w))[:most]


def add_words(file: Path, tokenizer: Any, words: list[str]) -> dict[str, list[int]]:
    """Put words into a tokenizer's vocabulary, in its file.

    Args:
        file: tokenizer.json; changed.
        tokenizer: what it is now.
        words: as they stand after a space.

    Returns: for each new token the ids that its text had before.

    Raises:
        InputError: the tokenizer is neither BPE nor WordPiece.
    """
    whole = json.loads(file.read_bytes())
    model = whole["model"]
    if model.get("type") not in ("BPE", "WordPiece"):
        hint = "tokens: adds control tokens to any"
        raise InputError(f"words cannot be added to a tokenizer of the kind {model.get('type')}", hint)
    vocabulary = model["vocab"]
    for token in whole.get("added_tokens", []):  # else their ids would follow from the size of the vocabulary
        vocabulary.setdefault(token["content"], token["id"])
    names = {i: token for token, i in tokenizer.get_vocab().items()}
    alone = len(_ids(tokenizer, "x"))
    merges: list[tuple[str, str]] = []
    found: dict[str, list[int]] = {}
    first = max(vocabulary.values()) + 1

    def add(token: str, ids: list[int]) -> None:
        if token not in vocabulary:
            vocabulary[token] = first + len(found)
            found[token] = ids

    for word in words:
        ids = _ids(tokenizer, f"x {word}")[alone:]
        cut = [(names[i], [i]) for i in ids]
        if model["type"] == "WordPiece":
            add("".join(p.removeprefix(CONTINUES) for p, _ in cut), ids)
            continue
        for pair in merges:
            cut = _merged(cut, pair)
        while len(cut) > 1:
            (left, of_left), (right, of_right) = cut[:2]
            add(left + right, of_left + of_right)
            merges.append((left, right))
            cut = [(left + right, of_left + of_right), *cut[2:]]
    if model["type"] == "BPE":
        as_text = bool(model["merges"]) and isinstance(model["merges"][0], str)
        model["merges"] += [" ".join(pair) if as_text else list(pair) for pair in merges]
    file.write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return found


Cut = list[tuple[str, list[int]]]  # tokens, each with the old ids of its text


def _merged(cut: Cut, pair: tuple[str, str]) -> Cut:
    """A word's pieces after one merge."""
    made: Cut = []
    for token, ids in cut:
        if made and (made[-1][0], token) == pair:
            left, before = made.pop()
            made.append((left + token, before + ids))
        else:
            made.append((token, ids))
    return made
