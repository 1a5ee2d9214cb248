"""Which examples stand before a question: drawn as lm-evaluation-harness draws them, and never the question itself.

The examples of all questions are drawn in a row from one generator, so a prompt depends on the seed and on the place
of its document. Where that library would show a question its own answer (a validation split that examples are drawn
from, say), the examples are drawn again without it, from a generator of that place alone: other prompts do not change.

Source: lm_eval/api/samplers.py, 0.4.13.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from random import Random

from loomwork.core.errors import InputError
from loomwork.evals.tasks.task import Row, SamplerName

SEED = 1234  # lm-evaluation-harness' own, of examples


class Sampler:
    """Draws examples for one document after another.

    Args:
        pool: the documents that may be examples.
        sampler: "default" draws by seed, "first_n" takes the first ones.
        seed: of the draws.
        leave_out: whether one more than needed is drawn, so that the question can be left out of them. It decides which
            numbers are drawn; the question is left out in any case.
    """

    def __init__(self, pool: Sequence[Row], sampler: SamplerName, seed: int, leave_out: bool) -> None:
        self.pool, self.sampler, self.seed, self.leave_out = list(pool), sampler, seed, leave_out
        self.replaced = 0  # questions that would have been among their own examples
        self._random = Random(seed)
        self._drawn = 0

    def draw(self, n: int, question: Row) -> list[Row]:
        """The `n` examples of the next question, in order.

        Raises:
            InputError: the pool has fewer.
        """
        if n == 0:
            return []
        place, self._drawn = self._drawn, self._drawn + 1
        if self.sampler == "first_n":
            return self._enough(list(islice((row for row in self.pool if not _same(row, question)), n)), n)
        if len(self.pool) < n + self.leave_out:
            raise self._too_few(n + self.leave_out)
        drawn = self._random.sample(self.pool, n + self.leave_out)
        others = [row for row in drawn if not _same(row, question)][:n]
        if len(others) == n:
            return others
        pool = [row for row in self.pool if not _same(row, question)]
        if len(pool) < n:
            raise self._too_few(n)
        if self.leave_out:  # several copies of the question were drawn: as that library, from the same generator
            return self._random.sample(pool, n)
        self.replaced += 1
        return Random(f"{self.seed} {place}").sample(pool, n)

    def _enough(self, rows: list[Row], n: int) -> list[Row]:
        if len(rows) < n:
            raise self._too_few(n)
        return rows

    def _too_few(self, needed: int) -> InputError:
        return InputError(
            f"{needed} examples are needed, and there are {len(self.pool)} to draw from, the question itself left out",
            "show fewer (num_fewshot), or draw them from a larger split (fewshot_split)",
        )


def _same(row: Row, question: Row) -> bool:
    return row is question or row == question
