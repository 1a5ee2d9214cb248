"""Which columns `drift` of data.expect names."""

from __future__ import annotations

from dataclasses import dataclass, field

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError, did_you_mean
from loomwork.core.tables import OURS, PLACE
from loomwork.data._checks import Check
from loomwork.data._drift import comparable_columns

ALL = "*"


@dataclass(frozen=True)
class Chosen:
    """The columns that are looked at.

    Args:
        compared: columns of both versions.
        gone: columns of the baseline that the data lacks.
        notes: on columns that cannot be compared.
    """

    compared: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def checks(self, tolerance: float) -> list[Check]:
        """A column that is gone is drift at any tolerance."""
        return [
            Check(f"drift of {c}", 1.0, tolerance, False, f"column {c!r} is gone: the baseline has it")
            for c in self.gone
        ]


def choose_columns(drift: list[str], data: Dataset, baseline: Dataset | None) -> Chosen:
    """Read the names, "*" and "-name" of `drift`.

    Args:
        drift: as of `data.expect`.
        data: the newer version.
        baseline: the earlier one; None where there is none yet, and then the names are only checked.

    Raises:
        InputError: neither version has a column, or the baseline lacks a named one; "-name" stands without "*"; a
            version has no rows.
    """
    left_out = [name[1:] for name in drift if name.startswith("-")]
    named = [name for name in drift if name != ALL and not name.startswith("-")]
    every = ALL in drift
    if left_out and not every:
        whole = ", ".join(f'"{name}"' for name in [ALL, *(f"-{name}" for name in left_out)])
        raise InputError(f'drift leaves out {left_out[0]!r}, but there is no "*" in it', f"write drift: [{whole}]")
    new, old = _names(data), _names(baseline)
    for name in [*named, *left_out] if new or old else []:
        if name not in new and name not in old:
            raise InputError(f"drift: there is no column {name!r}", did_you_mean(name, {*new, *old} - set(OURS)))
    if baseline is None:
        return Chosen()
    for version in (baseline, data):
        version.require_rows()
    for name in named:
        if name not in old:
            hint = did_you_mean(name, set(old) - set(OURS))
            raise InputError(f"drift: the baseline has no column {name!r} to compare with", hint)
    wanted = [*(comparable_columns(baseline, data) if every else []), *named]
    compared = [c for c in dict.fromkeys(wanted) if c in new and c not in left_out]
    seen = [c for c in dict.fromkeys([*old, *new]) if c in named or (every and c not in (*OURS, *PLACE))]
    seen = [c for c in seen if c not in left_out]
    notes = [f"column {c!r} is new: the baseline has no such column" for c in seen if c not in old]
    for column in seen:
        if column in old and column in new and column not in compared:
            kind = data.schema.field(column).type
            notes.append(f"column {column!r} is not compared: it holds {kind}")
    if not compared:
        notes.append("drift: no column was compared")
    return Chosen(compared, [c for c in seen if c not in new], notes)


def _names(version: Dataset | None) -> list[str]:
    return list(version.schema.names) if version is not None and version.shards() else []
