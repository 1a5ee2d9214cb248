"""From a recipe's step call to one that is ready to run: its inputs opened, its cache key known."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from loomwork.core import key as keys
from loomwork.core.artifact import Artifact, digest
from loomwork.core.dataset import Dataset
from loomwork.core.errors import DamagedArtifact, InputError, LostArtifact
from loomwork.core.home import Home
from loomwork.core.job import Job
from loomwork.core.ledger import Used
from loomwork.core.recipe import Reference, StepCall
from loomwork.core.step import Files, Step, TrainedOn
from loomwork.core.training_data import training_data

Sources = Mapping[str, tuple[str, str]]  # step name -> (artifact id, the run that made it)


@dataclass(frozen=True)
class Found:
    """An artifact that a step reads, and the run that made it where that is known."""

    artifact: Artifact
    run: str | None


@dataclass(frozen=True)
class Ready:
    """A step call with everything that it needs."""

    call: StepCall
    inputs: dict[str, Any]  # by parameter: Found, list[Found], dict[str, Found] or None
    parts: keys.Parts
    key: str
    forgotten: list[str]  # ids (hex) of rows that must not come in again

    @property
    def used(self) -> dict[str, Used]:
        """Its inputs as the ledger keeps them, by role."""
        return {role: Used(f.artifact.id, f.artifact.part, f.run) for role, f in flat(self.inputs)}

    def job(self, home: Home, run_id: str, log: Path, stop_file: Path, threads: int, processes: int = 1) -> Job:
        """The job that makes its result.

        Args:
            threads: for the step, all of its processes together.
            processes: of a step that can run in several.
        """
        processes = processes if self.call.step.parallel else 1
        return Job(
            run=run_id,
            step=self.call.use,
            heavy=self.call.step.heavy,
            key=self.key,
            settings=self.call.settings,
            inputs=_places(self.inputs),
            folder=str(home.folder("tmp") / run_id),
            work=str(home.folder("work") / self.key),
            kept=str(home.folder("kept") / keys.same_code(self.parts)),
            log=str(log),
            stop_file=str(stop_file),
            store=str(home.store.root),
            store_url=home.store.url,
            device=keys.device(),
            precision=keys.precision(),
            threads=max(1, threads // processes),
            forgotten=self.forgotten,
            processes=processes,
            code=digest(self.parts["code"]) if self.call.step.heavy else "",
        )


def get_ready(home: Home, call: StepCall, sources: Sources) -> Ready:
    """Open a call's inputs and compute its key.

    Raises:
        LostArtifact, DamagedArtifact: an input is not in the store as it was.
        InputError: an input is of the wrong kind, or lacks the part.
    """
    inputs = {role: _each(home, call, role, value, sources) for role, value in call.inputs.items()}
    for role in [r for r, value in inputs.items() if value is None]:
        if marker := call.step.marker(role, TrainedOn):
            inputs[role] = _trained_on(home, inputs[marker.model])
    digests = {role: found.artifact.digest for role, found in flat(inputs)}
    gone = sorted(forgotten_rows(home)) if reads_outside(call.step, digests) else []
    parts = keys.key_parts(call.step, call.settings, digests, digests=home.root / "digests", forgotten=gone)
    return Ready(call, inputs, parts, keys.make_key(parts), gone)


def _trained_on(home: Home, model: Any) -> list[Found] | None:
    """What is still there of the data that went into a model; None where the ledger knows of none."""
    known: list[Found] = []
    for row in training_data(home, model.run) if isinstance(model, Found) and model.run else ():
        with suppress(LostArtifact, DamagedArtifact):
            known.append(Found(home.store.open(row["artifact"], Dataset, row["part"]), row["made_by"]))
    return known or None


def reads_outside(step: Step, inputs: Collection[str]) -> bool:
    """Whether rows may come into the dataset that a step makes from outside: it has no inputs, or reads files."""
    return step.makes == "dataset" and (not inputs or any(step.marker(name, Files) for name in step.settings))


class Lookup(NamedTuple):
    """What the ledger and the store have of a key.

    Args:
        hit: its finished run, whose artifact can be opened.
        lost: a finished run of it whose artifact cannot, or that came to less than it was to, and `why`.
    """

    hit: dict[str, Any] | None = None
    lost: str = ""
    why: str = ""


def look_up(home: Home, key: str) -> Lookup:
    """Whether a key's work is done, and still there."""
    done = home.ledger.find_done(key)
    if done is None or home.ledger.is_superseded(done["artifact"]):  # it has rows that are forgotten
        return Lookup()
    try:
        home.store.open(done["artifact"])
    except (LostArtifact, DamagedArtifact) as error:
        return Lookup(lost=done["run"], why=error.what)
    if lacks := done.get("incomplete"):
        return Lookup(lost=done["run"], why=f"its result was incomplete: {lacks}")
    return Lookup(done)


def needed_steps(call: StepCall) -> list[str]:
    """The steps of the recipe whose results a call reads."""
    return [r.target for _, r in call.references() if r.kind == "step"]


def flat(inputs: Mapping[str, Any]) -> Iterator[tuple[str, Found]]:
    """("data", found), ("models.naive", found)...: one pair for each artifact that is read."""
    for role, value in inputs.items():
        if isinstance(value, Found):
            yield role, value
        elif value is not None:
            pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
            yield from ((f"{role}.{inner}", found) for inner, found in pairs)


def forgotten_rows(home: Home) -> set[str]:
    """Ids (hex) of the rows that `loom forget` removed."""
    return {e["subject"] for e in home.ledger.events(kind="forgotten")}


def find(home: Home, reference: Reference, kind: type[Artifact], sources: Sources) -> Found | None:
    """The artifact of a reference; None for a name that does not exist yet."""
    if reference.kind == "step":
        artifact_id, run = sources[reference.target]
        return Found(home.store.open(artifact_id, kind, reference.part), run)
    if reference.kind == "name":
        name, _, label = reference.target.partition("@")
        row = home.ledger.named(name, label)
        if row is None:
            return None
        return Found(
            home.store.open(row["artifact"], kind, reference.part), row["run"] or _maker(home, row["artifact"])
        )
    artifact_id = home.find(reference.target)
    return Found(home.store.open(artifact_id, kind, reference.part), _maker(home, artifact_id))


def _each(home: Home, call: StepCall, role: str, value: Any, sources: Sources) -> Any:
    wanted = call.step.inputs[role]
    if value is None:
        return None
    if isinstance(value, Reference):
        found = find(home, value, wanted.type, sources)
        if found is None and wanted.shape != "optional":
            raise InputError(
                f"step {call.name}: {role} is {value.target}, and there is no such name yet", "names: loom name"
            )
        return found
    if isinstance(value, Mapping):
        return {name: find(home, one, wanted.type, sources) for name, one in value.items()}
    return [find(home, one, wanted.type, sources) for one in value]


def _maker(home: Home, artifact_id: str) -> str | None:
    makers = home.ledger.makers(artifact_id)
    return makers[0]["id"] if makers else None


def _places(value: Any) -> Any:
    if isinstance(value, Found):
        return {"path": str(value.artifact.path), "part": value.artifact.part}
    if isinstance(value, Mapping):
        return {name: _places(one) for name, one in value.items()}
    return None if value is None else [_places(one) for one in value]
