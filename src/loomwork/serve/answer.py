"""Answers from a named index: a question's vector, a hybrid search, and the passages with their row ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loomwork.core.artifact import Index, Model
from loomwork.core.errors import InputError
from loomwork.core.home import DEFAULT_LABEL, Home

if TYPE_CHECKING:
    from loomwork.index.search import Hit, SearchIndex
    from loomwork.models.encoder import Encoder

INDEX_LABEL = "index"
TITLES = ("title", "name", "id")  # columns that may head a passage, the first one that has text
SOURCES = ("source", "url", "path", "file")


@dataclass(frozen=True)
class Answers:
    """An open index and the encoder that made its vectors. Made by `open_answers`.

    Args:
        name: as it was asked for.
        index: the artifact that answers.
        search: it, open.
        model, encoder: what embeds questions; None where the index has no vectors and only words are compared.
    """

    name: str
    index: Index
    search: SearchIndex
    model: Model | None = None
    encoder: Encoder | None = None

    def ask(self, query: str, k: int = 5) -> list[Hit]:
        """The `k` best passages for a question, the best first.

        Raises:
            InputError: the question is empty, or `k` is below 1.
        """
        if not query.strip():
            raise InputError("the question is empty", "ask in a few words, or with a name from the text")
        if k < 1:
            raise InputError(f"cannot give {k} passages", "k is 1 or more")
        vector = self.encoder.embed([query])[0] if self.encoder else None
        return self.search.search(query, vector, k)


def open_answers(home: Home, name: str) -> Answers:
    """Open what answers questions under a name.

    Args:
        home: where names and artifacts are.
        name: "docs-search" (its index is docs-search@index), another `name@label` of an index, or an index's id.

    Raises:
        InputError: there is no such name, or it has no index.
        LostArtifact: the model that the index names is not in the store.
    """
    return open_index_of(home, name, find_index(home, name))


def open_index_of(
    home: Home, name: str, index: Index, encoders: dict[str, Encoder] | None = None, threads: int | None = None
) -> Answers:
    """Open an index that was found.

    Args:
        encoders: those that are open already, by artifact id.
        threads: of an encoder that is opened here; None for all cores.
    """
    from loomwork.index.search import open_index

    search = open_index(index)
    if search.vectors is None:
        return Answers(name, index, search)
    if not search.model:
        raise InputError(
            f"the index {index.id[:12]} of {name!r} has vectors and names no model: questions cannot be embedded",
            "build it again with a model: {use: data.index, model: ...}",
        )
    model = home.store.open(search.model, Model)
    encoder = (encoders or {}).get(model.id)
    if encoder is None:
        from loomwork.models.encoder import load_encoder

        encoder = load_encoder(model, threads=threads)
    return Answers(name, index, search, model, encoder)


def find_index(home: Home, name: str) -> Index:
    """The index that a name means.

    Raises:
        InputError: there is none.
    """
    bare, _, label = name.partition("@")
    found = None if label and label != DEFAULT_LABEL else home.ledger.named(bare, INDEX_LABEL)
    if found:
        return home.store.open(found["artifact"], Index)
    artifact_id = home.find(name)  # a name or artifact that is not there is said here
    artifact = home.ledger.artifact(artifact_id)
    kind = artifact["kind"] if artifact else home.store.open(artifact_id).manifest["kind"]
    if kind != Index.kind:
        raise InputError(
            f"{name!r} is a {kind} and has no index: there is no name {bare}@{INDEX_LABEL}",
            f"give one to an index in the recipe: name: {{{bare}@{INDEX_LABEL}: $index}}",
        )
    return home.store.open(artifact_id, Index)


def stale_reasons(home: Home, artifact_id: str) -> list[str]:
    """Why an artifact is stale, in words; empty if it is not."""
    reasons = home.ledger.stale().get(artifact_id, [])
    return [str(reason.get("because") or "its data has changed") for reason in reasons]


def other_model(home: Home, answers: Answers) -> str:
    """A sentence where the name's model is not the one that made its index, as after one of them was moved; else ""."""
    bare, _, label = answers.name.partition("@")
    named = home.ledger.named(bare, DEFAULT_LABEL) if label in ("", DEFAULT_LABEL) else None
    if not named or not answers.model or named["artifact"] in (answers.model.id, answers.index.id):
        return ""
    if (home.ledger.artifact(named["artifact"]) or {}).get("kind") != Model.kind:
        return ""
    return (
        f"{bare}@{DEFAULT_LABEL} is model {named['artifact'][:12]}, and {bare}@{INDEX_LABEL} was made by "
        f"{answers.model.id[:12]}, which answers: move both names"
    )


def first_column(hit: Hit, names: Sequence[str]) -> str:
    """The first of some columns that has text in a hit, or ""."""
    return next((value for n in names if isinstance(value := hit.columns.get(n), str) and value), "")
