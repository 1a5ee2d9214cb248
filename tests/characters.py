"""Characters on which Python and the Rust below Polars agree: those that Python's own Unicode version knows.

Python 3.11 reads Unicode 14, Polars a later one: a letter added in between is a letter to one of them only.
"""

from __future__ import annotations

from hypothesis import strategies as st

ASSIGNED = st.characters(exclude_categories=["Cn", "Cs"])
