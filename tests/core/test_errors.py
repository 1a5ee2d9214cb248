"""Messages never hold the secrets of a URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from loomwork.core.errors import DamagedArtifact, MissingDependency, without_secrets
from loomwork.core.home import Home


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at postgresql://ann:s3cret@db:5432/loom!", "at postgresql://ann:***@db:5432/loom!"),
        ("sftp://ann:s@cret@host/x", "sftp://ann:***@host/x"),
        ("redis://:s3cret@host", "redis://:***@host"),
        ("s3://bucket/x?secret=s3cret&region=eu", "s3://bucket/x?secret=***&region=eu"),
        ("https://host/x?sv=1&sig=s3cret", "https://host/x?sv=1&sig=***"),
        ("https://host/x?access_key=s3cret and more", "https://host/x?access_key=*** and more"),
        ("file:///data/a@b, http://127.0.0.1:8000/v1 and s3://bucket/x", None),
        ("docs@champion: 12:30", None),
    ],
)
def test_secrets_are_hidden_and_nothing_else(text: str, shown: str | None) -> None:
    assert without_secrets(text) == (shown or text)


def test_errors_and_homes_do_not_show_them() -> None:
    url = "sftp://ann:s3cret@host/store"
    shown = [DamagedArtifact(f"{url}: changed", url), MissingDependency(f"the store at {url}", "fsspec")]
    assert not any("s3cret" in str(e) + repr(e) for e in shown)
    assert "s3cret" not in repr(Home(Path("x"), url, url))
