"""What the tests of datasets share."""

from __future__ import annotations

import pytest


@pytest.fixture
def values_are_few(monkeypatch):
    """Values of another type count as few, however many there are: they are set aside."""
    monkeypatch.setattr("loomwork.data._read_rows.MIXED_SHARE", 1.0)
