"""What this machine draws, where it says so: RAPL of Linux, and nvidia-smi."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass
class EnergyMeter:
    """The energy of this machine's processors and memory, and of its first GPU, since it was made.

    Others' work on the machine counts too.

    Args:
        folder: where RAPL's zones are.
        gpu: whether the work runs on one.
    """

    folder: Path = POWERCAP
    gpu: bool = False
    began: float = field(default_factory=time.monotonic)
    before: dict[Path, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.before = _counters(self.folder)

    def joules(self) -> float | None:
        """Since the beginning; None where nothing can be read, or the GPU does the work and cannot be."""
        draw = _gpu_watts() if self.gpu else 0.0
        if draw is None or not (self.before or self.gpu):
            return None
        now = _counters(self.folder)
        spent = [_spent(zone, old, now[zone]) for zone, old in self.before.items() if zone in now]
        return sum(spent) + draw * (time.monotonic() - self.began)


def _counters(folder: Path) -> dict[Path, int]:
    """Microjoules of the zones that are not part of another: packages, and memory beside them."""
    found = {}
    for zone in sorted(folder.glob("*:*")):
        if zone.name.count(":") > 1 and _read(zone / "name") != "dram":
            continue  # cores and caches are in their package already
        value = _read(zone / "energy_uj")
        if value.isdigit():
            found[zone] = int(value)
    return found


def _spent(zone: Path, before: int, now: int) -> float:
    if now < before:  # the counter began anew
        now += int(_read(zone / "max_energy_range_uj") or 0)
    return max(0, now - before) / 1e6


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # it is root's on many machines
        return ""


def _gpu_watts() -> float | None:
    command = ["nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits", "--id=0"]
    try:
        return float(subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
