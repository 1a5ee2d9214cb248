"""Write docs/support.md from the test suite: for each capability the tests that show it, or the word "absent".

python scripts/support.py            write it
python scripts/support.py --check    fail if it is not up to date, or if a capability names a test that is gone
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
CAPABILITIES = ROOT / "docs" / "capabilities.yaml"
TARGET = ROOT / "docs" / "support.md"
HEAD = """# What is supported

Written by `scripts/support.py` from `docs/capabilities.yaml` and the test suite; do not edit it by hand.
*tested*: automatic tests show it, as many as stated; slow ones run with `make test-slow` only. A test whose machine
lacks what it needs (PostgreSQL, test data) is skipped, and says so. *runs*: it was run by hand, no test holds it.
*absent*: not there.

| capability | state | shown by |
|---|---|---|
"""


class Collected:
    """Hears from pytest which tests there are, and which of them are slow."""

    def __init__(self) -> None:
        self.fast: set[str] = set()
        self.slow: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            (self.slow if item.get_closest_marker("slow") else self.fast).add(item.nodeid)


def collect() -> Collected:
    found, said = Collected(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.chdir(ROOT):
        code = pytest.main(["--collect-only", "-q", "-m", ""], plugins=[found])
    if code:
        sys.exit(said.getvalue()[-3000:])
    return found


def table(tests: set[str], slow: set[str]) -> tuple[str, list[str]]:
    """The rows of the table, and the capabilities that name no test that exists."""
    rows, broken = [], []
    for room, capabilities in yaml.safe_load(CAPABILITIES.read_text("utf-8")).items():
        rows.append(f"| **{room}** | | |")
        for capability, shown in capabilities.items():
            if shown in ("runs", "absent"):
                rows.append(f"| {capability} | {shown} | |")
                continue
            patterns = [shown] if isinstance(shown, str) else shown
            every: set[str] = set()
            for pattern in patterns:
                found = {test for test in tests | slow if matches(test, f"tests/{pattern}")}
                if not found:
                    broken.append(f"{capability}: no test matches tests/{pattern}")
                every |= found
            count = f"{len(every & tests)}" + (f", {len(every & slow)} slow" if every & slow else "")
            files = sorted({p.split("::")[0] for p in patterns})
            rows.append(f"| {capability} | tested ({count}) | {', '.join(f'`tests/{f}`' for f in files)} |")
    return HEAD + "\n".join(rows) + "\n", broken


def matches(test: str, pattern: str) -> bool:
    """A pattern with brackets is of one parameter, any other of whole functions."""
    if "[" in pattern:
        function, _, parameter = pattern.partition("[")
        return fnmatch.fnmatch(test.split("[")[0], function) and parameter.rstrip("]") in test.partition("[")[2]
    return fnmatch.fnmatch(test.split("[")[0], pattern)


def main() -> None:
    found = collect()
    text, broken = table(found.fast, found.slow)
    if broken:
        sys.exit("docs/capabilities.yaml:\n  " + "\n  ".join(broken))
    if "--check" in sys.argv:
        if not TARGET.is_file() or TARGET.read_text("utf-8") != text:
            sys.exit("docs/support.md is not up to date: python scripts/support.py")
    else:
        TARGET.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
