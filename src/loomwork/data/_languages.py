"""What the step and the rule `language` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from loomwork.core.context import context
from loomwork.core.errors import InputError, MissingDependency, did_you_mean

if TYPE_CHECKING:
    import polars as pl

Identifier = Callable[["pl.Series"], "pl.DataFrame"]
DIGITS = 4  # of a score: what lies behind them depends on the machine


def identifier(needed_by: str, languages: Sequence[str], min_score: float) -> Identifier:
    """A function that finds the language of each text: columns `language` and `score`.

    Args:
        needed_by: who asks, for the message.
        languages: the codes to choose from; none for all that the model knows.
        min_score: below it the language is "und".

    Raises:
        InputError: the model does not know a language.
        MissingDependency: the model or the compiler is not installed.
    """
    try:
        from loomwork.text.language import UNKNOWN, identify, supported_languages

        known = supported_languages()
    except ModuleNotFoundError as error:
        raise MissingDependency(needed_by, error.name or "py3langid", "curate") from None
    for code in languages:
        if code not in known:
            raise InputError(f"{needed_by}: the model does not know the language {code!r}", did_you_mean(code, known))
    chosen, threads = tuple(sorted(set(languages))), context().threads

    def found(texts: pl.Series) -> pl.DataFrame:
        import polars as pl

        given = identify(texts.to_list(), chosen, threads=threads)
        frame = pl.DataFrame(
            {"language": given.codes, "score": given.scores.round(DIGITS)}, schema_overrides={"language": pl.String}
        )
        sure = pl.when(pl.col("score") >= min_score).then("language").otherwise(pl.lit(UNKNOWN))
        return frame.with_columns(language=sure)

    return found
