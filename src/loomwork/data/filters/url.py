"""Rule: rows by where they come from on the web."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator

from loomwork.core.dataset import Dataset
from loomwork.core.errors import InputError
from loomwork.core.step import Files
from loomwork.data.filters._lists import read_list

if TYPE_CHECKING:
    import polars as pl

HOST = r"^(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#@]*@)?(\[[^\]]*\]|[^/?#:]+)"
BARE_HOST = r"^(?:[^\s/?#:@]*@)?([^\s/?#:@]+\.[^\s/?#:@]+)(?::[0-9]*)?(?:[/?#]|$)"  # of a URL without its scheme


def _checked(patterns: list[str]) -> list[str]:
    import polars as pl

    for pattern in patterns:
        try:
            pl.Series([""]).str.contains(pattern)
        except pl.exceptions.PolarsError as error:
            told = str(error).strip().split("\n")[-1]
            raise ValueError(f"{pattern!r} is not a regular expression: {told}") from None
    return patterns


Patterns = Annotated[list[str], AfterValidator(_checked)]


def url(
    data: Dataset,
    *,
    column: str,
    url_column: str = "url",
    drop_domains: list[str] = [],  # noqa: B006 (never changed)
    drop_domains_file: Annotated[Path | None, Files()] = None,
    keep_domains: list[str] = [],  # noqa: B006
    keep_domains_file: Annotated[Path | None, Files()] = None,
    drop_patterns: Patterns = [],  # noqa: B006
    keep_patterns: Patterns = [],  # noqa: B006
    missing: Literal["keep", "drop"] = "keep",
) -> Callable[[pl.DataFrame], pl.Series]:
    """Rows by the domain or the shape of their URL: {url: {drop_domains: [spam.example], drop_patterns: [/login]}}.

    A domain stands for itself and all below it: example.org also means www.example.org. A URL may lack its scheme:
    example.org/page is of example.org. Where something is listed
    to be kept, all else is dropped. What is listed to be dropped is dropped in any case.

    Args:
        data: rows with a column of URLs.
        column: not used.
        url_column: the column of URLs.
        drop_domains, keep_domains: domains, upper and lower case alike.
        drop_domains_file, keep_domains_file: more of them, one a line; lines that begin with # are comments.
        drop_patterns, keep_patterns: regular expressions (Rust's syntax) that occur anywhere in the URL.
        missing: what happens to rows without a URL.

    Raises:
        InputError: there is no such column, or nothing is listed.
    """
    import polars as pl

    data.require(url_column)
    drop = [*drop_domains, *(read_list(drop_domains_file) if drop_domains_file else [])]
    keep = [*keep_domains, *(read_list(keep_domains_file) if keep_domains_file else [])]
    if not (drop or keep or drop_patterns or keep_patterns):
        raise InputError("rule url has nothing to look for", "for example {url: {drop_domains: [spam.example]}}")
    address = pl.col(url_column).fill_null("").str.strip_chars()
    found = pl.coalesce(address.str.extract(HOST), address.str.extract(BARE_HOST))
    host = found.fill_null("").str.to_lowercase().str.strip_chars_end(".")
    kept = _within(host, keep) if keep else pl.lit(False)
    for pattern in keep_patterns:
        kept |= address.str.contains(pattern)
    reason: Any = pl.when(address == "").then(pl.lit("no url" if missing == "drop" else ""))
    if drop:
        reason = reason.when(_within(host, drop)).then(pl.format("listed domain: {}", host))
    for pattern in drop_patterns:
        reason = reason.when(address.str.contains(pattern)).then(pl.format("listed pattern: {}", pl.lit(pattern)))
    if keep or keep_patterns:
        reason = reason.when(~kept).then(pl.format("not a listed place: {}", host))
    return lambda rows: rows.select(reason=reason.otherwise(pl.lit(""))).to_series()


def _within(host: pl.Expr, domains: list[str]) -> pl.Expr:
    """Whether a host is one of these domains or lies below one."""
    import polars as pl

    listed = pl.Series([domain.strip().strip(".").lower().removeprefix("*.") for domain in domains])
    labels = host.str.split(".")
    sizes = sorted(set((listed.str.count_matches(".", literal=True) + 1).to_list()))
    return pl.any_horizontal([labels.list.tail(size).list.join(".").is_in(listed.implode()) for size in sizes])
