"""What a service serves: the artifacts that a name meant when it started, opened, and whether they still hold."""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loomwork.core.artifact import Artifact, Index, Model
from loomwork.core.errors import InputError
from loomwork.core.home import DEFAULT_LABEL, Home
from loomwork.serve.answer import Answers, find_index, open_index_of, stale_reasons

if TYPE_CHECKING:
    from loomwork.models.decoder import Decoder
    from loomwork.models.encoder import Encoder

log = logging.getLogger("loomwork.serve")
# One core is left to the event loop. Threads that wait for a core in turns are far worse than one thread fewer: with
# two of them on two busy cores, a small decoder was ten times slower than with one.
THREADS = max(1, (os.cpu_count() or 1) - 1)


@dataclass
class Pinned:
    """The artifacts that a service answers with until it is started again. Made by `pin`.

    Args:
        name: as it was asked for; requests name their model so.
        model: the model's artifact.
        encoder, decoder: the one that the model is.
        answers: the name's index, where it has one.
        since: when this was pinned, seconds since 1970.
        remarks: what a user should know: it is stale, or the name has moved. Renewed by `refresh`.
    """

    home: Home
    name: str
    model: Model
    encoder: Encoder | None = None
    decoder: Decoder | None = None
    answers: Answers | None = None
    since: float = field(default_factory=time.time)
    remarks: list[str] = field(default_factory=list)

    @property
    def artifacts(self) -> dict[str, str]:
        """Ids by role: model, and where there is an index, index, and index_model where its vectors are of another."""
        ids = {"model": self.model.id}
        if self.answers:
            ids["index"] = self.answers.index.id
            if self.answers.model and self.answers.model.id != self.model.id:
                ids["index_model"] = self.answers.model.id
        return ids

    @property
    def is_stale(self) -> bool:
        return any(" is stale" in remark for remark in self.remarks)

    def is_called(self, model: str) -> bool:
        """Whether a request's `model` means this one: its name, or the first letters of its id."""
        bare, _, label = self.name.partition("@")
        known = {self.name, f"{bare}@{label or DEFAULT_LABEL}"}
        return model in known or (len(model) >= 12 and self.model.id.startswith(model))

    def refresh(self) -> None:
        """Ask the ledger again; what is new goes into the log."""
        remarks = []
        for role, artifact_id in self.artifacts.items():
            remarks += [
                f"the {role.replace('_', ' ')} is stale: {why}" for why in stale_reasons(self.home, artifact_id)
            ]
        try:
            meant = [_meant(self.home, self.name)]
            if self.answers:
                meant.append(find_index(self.home, self.name).id)
            if not {*meant} <= {*self.artifacts.values()}:
                remarks.append(f"the name {self.name} has moved to another artifact: start again to serve that one")
        except InputError:
            remarks.append(f"the name {self.name} is gone")
        for remark in remarks:
            if remark not in self.remarks:
                log.warning("%s", remark)
        self.remarks = list(dict.fromkeys(remarks))


def pin(home: Home, name: str) -> Pinned:
    """Resolve a name and open what it means.

    Args:
        name: of a model, or of an index; `name@label`, or an artifact id.

    Raises:
        InputError: there is no such name, or it is neither model nor index.
    """
    artifact_id = _meant(home, name)
    artifact: Artifact = home.store.open(artifact_id)
    kind = artifact.manifest["kind"]
    if kind == Index.kind:
        answers = open_index_of(home, name, home.store.open(artifact_id, Index), threads=THREADS)
        if answers.model is None:
            raise InputError(
                f"the index {name!r} has no vectors, so there is no model to serve",
                f"ask it here: loom ask {name} QUESTION; or build it with a model",
            )
        pinned = Pinned(home, name, answers.model, answers.encoder, answers=answers)
    elif kind == Model.kind:
        pinned = _open_model(home, name, home.store.open(artifact_id, Model))
    else:
        raise InputError(f"{name!r} is a {kind}, which cannot be served", "give the name of a model or of an index")
    pinned.refresh()
    return pinned


def _meant(home: Home, name: str) -> str:
    bare, at, _ = name.partition("@")
    if at or home.ledger.named(bare, DEFAULT_LABEL):
        return home.find(name)
    try:
        return home.find(name)
    except InputError:
        try:
            return find_index(home, name).id  # a name may have an index and no champion
        except InputError:
            pass
        raise


def _open_model(home: Home, name: str, model: Model) -> Pinned:
    from loomwork.models.folder import read_about

    if read_about(model).task == "generate":
        from loomwork.models.decoder import load_decoder

        return Pinned(home, name, model, decoder=load_decoder(model, threads=THREADS))
    from loomwork.models.encoder import load_encoder

    encoder = load_encoder(model, threads=THREADS)
    bare, _, label = name.partition("@")
    answers = None
    if label in ("", DEFAULT_LABEL) and home.ledger.named(bare, "index"):
        answers = open_index_of(home, name, find_index(home, name), {model.id: encoder}, THREADS)
    return Pinned(home, name, model, encoder, answers=answers)
