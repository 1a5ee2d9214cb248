"""A disk that is really full: the step fails with words, nothing half-made is seen, and the next run goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loomwork.core.errors import LoomError
from loomwork.core.home import Home
from loomwork.core.runner import run_recipe
from loomwork.core.upkeep import verify

S = "tests.core.runner_steps:"


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 3 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root on Linux")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    with open(path, "wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)


def test_a_full_disk_is_said_and_once_there_is_room_the_run_completes(small_disk, tmp_path):
    home = Home(small_disk / ".loom")
    small, big = tmp_path / "small.txt", tmp_path / "big.txt"
    small.write_text("apple\nbanana\n")
    big.write_bytes(b"\n".join(os.urandom(30).hex().encode() for _ in range(120_000)))
    steps = {
        "small": {"use": S + "read_lines", "path": str(small)},
        "model": {"use": S + "train", "data": "$small"},
        "big": {"use": S + "read_lines", "path": str(big)},
    }
    run = run_recipe({"recipe": "full", "steps": steps}, home=home)
    assert run.steps["big"].status == "failed"
    assert "disk is full" in run.steps["big"].error
    assert run.steps["model"].status == "ran"
    assert verify(home).clean
    assert not list((home.root / "tmp").iterdir())
    big.write_text("cherry\n")
    again = run_recipe({"recipe": "full", "steps": steps}, home=home)
    assert [s.status for s in again.steps.values()] == ["hit", "hit", "ran"]


def test_a_disk_without_room_for_the_ledger_is_a_clear_error(small_disk, tmp_path):
    home = Home(small_disk / ".loom")
    lines = tmp_path / "lines.txt"
    lines.write_text("apple\n")
    recipe = {"recipe": "full", "steps": {"raw": {"use": S + "read_lines", "path": str(lines)}}}
    run_recipe(recipe, home=home)
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        fill(filler)
    lines.write_text("banana\n")
    with pytest.raises(LoomError, match="disk"):
        run_recipe(recipe, home=home)
    filler.unlink()
    assert run_recipe(recipe, home=home).steps["raw"].status == "ran"
    assert verify(home).clean
