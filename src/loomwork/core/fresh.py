"""What `loom forget` marked stale, and is made anew while a recipe runs: it is stale no more."""

from __future__ import annotations

from loomwork.core.ledger import Ledger, Used, is_stale
from loomwork.core.queries import FRESH, SUPERSEDED


class Freshener:
    """Takes the mark from results that are made of nothing stale or superseded.

    Ask it about a step after all that the step reads: what was stale may be fresh by then.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.stale = ledger, ledger.stale()
        self._old = {e["subject"] for e in ledger.events(kind=SUPERSEDED)}

    def made(self, artifact: str, run: str) -> None:
        """A step has just run."""
        if artifact in self.stale and self._are_fresh(self._read(run)):
            self._take_mark(artifact, run)

    def hit(self, artifact: str, run: str, inputs: dict[str, Used]) -> str:
        """A step need not run, for an earlier run read the same bytes. Returns: the run that its result is of now.

        That run may have read a version that is superseded, or what came of one, and the bytes be of other things now.
        Then a run is recorded that reads these, so that the result does not lead back to what was forgotten.
        """
        if not self._old or not self._are_fresh(inputs):
            return run
        marked = is_stale(self.stale, artifact, run)
        if self._read(run) == inputs and not marked:
            return run
        new = self.ledger.adopt(run, inputs)
        if marked:
            self._take_mark(artifact, new)
        return new

    def _read(self, run: str) -> dict[str, Used]:
        """What a run read, by role."""
        edges = [e for e in self.ledger.edges(run) if e["direction"] == "in"]
        return {e["role"]: Used(e["artifact"], e["part"], e["made_by"]) for e in edges}

    def _are_fresh(self, inputs: dict[str, Used]) -> bool:
        used = inputs.values()
        return not any(u.artifact in self._old or is_stale(self.stale, u.artifact, u.made_by) for u in used)

    def _take_mark(self, artifact: str, run: str) -> None:
        self.ledger.add_events(FRESH, {artifact: {"run": run}})
        del self.stale[artifact]
