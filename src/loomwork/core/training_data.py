"""Which datasets went into the making of a model, by the edges of the runs that made it and what it was made from."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from loomwork.core.home import Home

MADE_BY_MODELS = ("model", "logprobs")  # whoever learns from one may have learned what went into it
_READ = sa.text(
    "SELECT e.artifact, e.part, e.made_by, a.kind FROM edge e JOIN artifact a ON a.id = e.artifact "
    "WHERE e.run = :run AND e.direction = 'in' ORDER BY e.role"
)


def training_data(home: Home, run: str) -> list[dict[str, Any]]:
    """The dataset parts that the run of a model read, and the runs of the models (or of what
    they said) that it was made from.

    More than it learned from: what a loss was only watched on is there too. A model says itself which of them it was
    trained on (models/folder.py), by digest.

    Returns: rows with artifact, part and made_by; the nearest first, none twice.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    runs = [run]
    for one in runs:  # it grows
        for row in home.ledger.rows(_READ.bindparams(run=one)):
            if row["kind"] == "dataset":
                found.setdefault((row["artifact"], row["part"]), row)
            elif row["kind"] in MADE_BY_MODELS and row["made_by"] and row["made_by"] not in runs:
                runs.append(row["made_by"])
    return list(found.values())
