"""The home of a project: its store, its ledger, its half-done work and its logs.

    .loom/   store/  ledger.db  work/  logs/  digests/

It is the folder named by LOOMWORK_HOME, else the nearest `.loom` upwards, else `.loom` here. LOOMWORK_STORE (an
fsspec URL) and LOOMWORK_LEDGER (a database URL), or `store` and `ledger` in a `loom.toml` beside it, put those two
elsewhere.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from loomwork.core.artifact import Artifact
from loomwork.core.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from loomwork.core.ledger import Ledger
    from loomwork.core.store import Store

Kind = TypeVar("Kind", bound=Artifact)
DEFAULT_LABEL = "champion"


@dataclass(frozen=True)
class Home:
    """Open one with `open_home()`.

    Args:
        root: the `.loom` folder.
        store_url, ledger_url: "" for the local ones.
    """

    root: Path
    store_url: str = field(default="", repr=False)  # may hold a password
    ledger_url: str = field(default="", repr=False)

    @cached_property
    def store(self) -> Store:
        from loomwork.core.store import Store

        return Store(self.root / "store", self.store_url)

    @cached_property
    def ledger(self) -> Ledger:
        from loomwork.core.ledger import Ledger

        self.root.mkdir(parents=True, exist_ok=True)
        return Ledger(self.ledger_url or f"sqlite:///{self.root.absolute() / 'ledger.db'}")

    def folder(self, name: str) -> Path:
        """`work`, `logs`, `digests`, `tmp`... made when missing."""
        path = self.root / name
        if not path.is_dir():  # asked for often; a stat is cheaper than a mkdir that fails
            path.mkdir(parents=True, exist_ok=True)
        return path

    def find(self, text: str) -> str:
        """The artifact id that a person means: `name@label`, `name`, an id, or the first letters of one.

        Raises:
            InputError: nothing or several things are meant; the nearest names are given.
        """
        name, at, label = text.partition("@")
        found = self.ledger.named(name, label if at else DEFAULT_LABEL)
        if found:
            return str(found["artifact"])
        if not at and len(text) >= 6 and set(text) <= set("0123456789abcdef"):
            ids = self.ledger.artifacts_like(text) or self.ledger.read_as(text)
            if len(ids) == 1:
                return ids[0]
            if ids:
                raise InputError(
                    f"{text!r} begins {len(ids)} artifact ids",
                    "give more letters: " + ", ".join(i[:16] for i in ids[:4]),
                )
        names = self.ledger.names()
        own = [n["artifact"] for n in names if n["name"] == name and not at]
        if len(own) == 1:  # a name with one label needs none
            return str(own[0])
        known = [f"{n['name']}@{n['label']}" for n in names]
        hint = did_you_mean(text, known) if known else "an artifact's id, or a name: loom name gives one"
        raise InputError(f"there is no name or artifact {text!r} in {self.root}", hint)

    def open(self, text: str, kind: type[Kind] = Artifact) -> Kind:  # type: ignore[assignment]
        """The artifact that a person means, with `/part` after it if one is chosen."""
        text, _, part = text.partition("/")
        return self.store.open(self.find(text), kind, part)


def open_home(root: str | Path | None = None) -> Home:
    """The home of the folder that we are in, or at `root`. Nothing is made until it is used."""
    chosen = Path(root or os.environ.get("LOOMWORK_HOME") or _nearest())
    settings = {}
    file = chosen.parent / "loom.toml"
    if file.is_file():
        try:
            settings = tomllib.loads(file.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: {error}") from None
        unknown = set(settings) - {"store", "ledger"}
        if unknown:
            raise InputError(f"{file}: unknown key {min(unknown)!r}", did_you_mean(min(unknown), ["store", "ledger"]))
    return Home(
        chosen,
        os.environ.get("LOOMWORK_STORE", settings.get("store", "")),
        os.environ.get("LOOMWORK_LEDGER", settings.get("ledger", "")),
    )


def _nearest() -> Path:
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".loom").is_dir() or (folder / "loom.toml").is_file():
            return folder / ".loom"
    return here / ".loom"
