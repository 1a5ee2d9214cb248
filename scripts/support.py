"""Write docs/support.md from the test suite: for each capability the tests that show it, or the word "absent".

python scripts/support.py            write it
python scripts/support.py --check    fail if it is not up to date, or if a capability names a test that is gone
"""

from __future__ import annotations

import fnmatch
import subprocess
import sys
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
CAPABILITIES = ROOT / "docs" / "capabilities.yaml"
TARGET = ROOT / "docs" / "support.md"
HEAD = """# What is supported

Written by `scripts/support.py` from `docs/capabilities.yaml` and the test suite; do not edit it by hand.
*tested*: automatic tests show it, as many as stated. *runs*: it was run by hand, no test holds it. *absent*: not there.

| capability | state | shown by |
|---|---|---|
"""


def collected_tests() -> Counter[str]:
    """How many tests each test function has."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", ""]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if result.returncode:
        sys.exit(result.stdout[-3000:] + result.stderr[-2000:])
    return Counter(line.split("[")[0] for line in result.stdout.splitlines() if "::" in line)


def table(tests: Counter[str]) -> tuple[str, list[str]]:
    """The rows of the table, and the capabilities that name no test that exists."""
    rows, broken = [], []
    for room, capabilities in yaml.safe_load(CAPABILITIES.read_text("utf-8")).items():
        rows.append(f"| **{room}** | | |")
        for capability, shown in capabilities.items():
            if shown in ("runs", "absent"):
                rows.append(f"| {capability} | {shown} | |")
                continue
            patterns = [shown] if isinstance(shown, str) else shown
            count = 0
            for pattern in patterns:
                found = sum(n for test, n in tests.items() if fnmatch.fnmatch(test, f"tests/{pattern}"))
                if not found:
                    broken.append(f"{capability}: no test matches tests/{pattern}")
                count += found
            files = sorted({p.split("::")[0] for p in patterns})
            rows.append(f"| {capability} | tested ({count}) | {', '.join(f'`tests/{f}`' for f in files)} |")
    return HEAD + "\n".join(rows) + "\n", broken


def main() -> None:
    text, broken = table(collected_tests())
    if broken:
        sys.exit("docs/capabilities.yaml:\n  " + "\n  ".join(broken))
    if "--check" in sys.argv:
        if not TARGET.is_file() or TARGET.read_text("utf-8") != text:
            sys.exit("docs/support.md is not up to date: python scripts/support.py")
    else:
        TARGET.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
