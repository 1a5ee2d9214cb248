"""Which scores there are of a model."""

from __future__ import annotations

import sqlalchemy as sa

from loomwork.core.home import Home

_SCORES = sa.text(
    "SELECT made.artifact FROM edge used JOIN run r ON r.id = used.run "
    "JOIN edge made ON made.run = r.id AND made.direction = 'out' JOIN artifact a ON a.id = made.artifact "
    "WHERE used.artifact = :model AND used.direction = 'in' AND used.role = 'model' AND r.status = 'done' "
    "AND a.kind = 'scores' ORDER BY r.started DESC"
)


def scores_of(home: Home, model: str) -> list[str]:
    """The ids of the scores that steps made of a model, the newest first."""
    return list(dict.fromkeys(row["artifact"] for row in home.ledger.rows(_SCORES.bindparams(model=model))))
