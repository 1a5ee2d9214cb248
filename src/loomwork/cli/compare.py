"""loom compare: systems side by side, on one page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loomwork.cli.options import HomeOption, JsonOption, as_reference, complete_name, existing_home, find_artifact

if TYPE_CHECKING:
    from loomwork.core.home import Home

ID = re.compile("[0-9a-f]{13,64}")
RECIPE_NAME, STEP = "loom compare", "side_by_side"  # no recipe of a user's is to be taken for it


def compare(
    systems: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C]...",
            help="Scores or models: names, ids, steps, or NAME=WHAT.",
            autocompletion=complete_name,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data", help="The rows that were scored, for --by: a path, name, id or step. The ledger knows them."
        ),
    ] = None,
    by: Annotated[list[str] | None, typer.Option("--by", help="A column to slice by; may be repeated.")] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="A score; may be repeated.")] = None,
    alpha: Annotated[float, typer.Option("--alpha", help="Of what is called different.")] = 0.05,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show systems side by side: scores, paired differences, slices, calibration, contamination, items.

    All are compared with the first, on the same items. Of a model its newest scores count that the others have too.
    The page and its numbers are kept as an artifact; nothing is decided: evals.compare is the gate for recipes.

    \b
    Examples:
      loom compare small@v1 small@v2
      loom compare once_task thrice_task     what two steps of a recipe made last
      loom compare base=3f2a91c0d4e1 tuned=77b1d2e4aa10 --by label --by length
      loom compare docs-search@champion 8f99a6c8cb48 --data split/holdout --by module --json
    """
    from loomwork.cli import outcome
    from loomwork.cli.display import open_display
    from loomwork.cli.text import echo_json
    from loomwork.core.errors import InputError
    from loomwork.core.recipe import load_recipe
    from loomwork.core.runner import Runner

    opened = existing_home(home)
    if len(systems) < 2:
        raise InputError("one system is nothing to compare", "loom compare A B")
    scores = found_scores(opened, [_named(s) for s in systems])
    settings: dict[str, Any] = {"by": by, "metrics": metric, "alpha": alpha}
    call: dict[str, Any] = {"use": f"evals.{STEP}", "scores": scores, "baseline": next(iter(scores))}
    call |= {k: v for k, v in settings.items() if v}
    if data:
        call["data"] = as_reference(opened, data)
    elif by and (read := _scored_rows(opened, next(iter(scores.values())))):
        call["data"] = read
    recipe = load_recipe({"recipe": RECIPE_NAME, "steps": {STEP: call}})
    with open_display(recipe.steps, silent=as_json) as display, Runner(opened, listen=display.listen) as runner:
        result = runner.run(recipe)
    made = result.steps[STEP]
    if as_json and result.failed:
        echo_json(outcome.to_json(opened, result, recipe.steps, None) | {"artifact": made.artifact})
    elif as_json:
        echo_json(opened.store.open(made.artifact).read_json("comparison.json") | {"artifact": made.artifact})
    elif result.failed:
        for section in outcome.sections(opened, result, recipe.steps):
            typer.echo(f"\n{section}")
    else:
        _tell(opened, made.artifact)
    raise typer.Exit(outcome.exit_code(result))


def _named(text: str) -> tuple[str, str]:
    """A system's name, and what it is; of an id that has no name its first letters, for it stands in every line."""
    from loomwork.cli.text import short

    name, equals, what = text.partition("=")
    if equals:
        return name, what
    return short(text) if ID.fullmatch(text) else text, text


def found_scores(home: Home, systems: list[tuple[str, str]]) -> dict[str, str]:
    """The id of the scores that each system means, by its name.

    Raises:
        InputError: a model has no scores, or the systems have none that were measured alike.
    """
    from loomwork.core.errors import InputError
    from loomwork.core.scored import scores_of

    if len({name for name, _ in systems}) < len(systems):
        raise InputError("two systems have one name", "give each its own, as in a=ID b=ID")
    candidates: dict[str, list[str]] = {}
    for name, what in systems:
        artifact = find_artifact(home, what)
        kind = (home.ledger.artifact(artifact) or {}).get("kind", "")
        if kind not in ("scores", "model"):
            raise InputError(f"{what} is of the kind {kind!r}", "compare scores, or models that have some")
        candidates[name] = [artifact] if kind == "scores" else scores_of(home, artifact)
        if not candidates[name]:
            raise InputError(f"the model {what} has no scores here", "score it first, as with evals.run_task")
    for first in next(iter(candidates.values())):
        marks = _marks(home, first)
        chosen = {n: next((c for c in own if _marks(home, c) & marks), None) for n, own in candidates.items()}
        chosen[systems[0][0]] = first
        if all(chosen.values()):
            return {name: str(artifact) for name, artifact in chosen.items()}
    raise InputError(
        "the systems have no scores that were measured alike: of the same metric on the same data",
        "score each with the same step on the same part",
    )


def _scored_rows(home: Home, scores: str) -> str:
    """The dataset that was scored, as "ID/part", where the ledger knows it; else ""."""
    for maker in home.ledger.makers(scores)[:1]:
        for edge in home.ledger.edges(maker["id"]):
            if edge["direction"] == "in" and edge["role"] in ("data", "rows"):
                return f"{edge['artifact']}/{edge['part']}".rstrip("/")
    return ""


def _marks(home: Home, artifact: str) -> set[tuple[str, str]]:
    """What two scores must share to be compared: a metric, and the digest of the data."""
    from loomwork.core.score import Scores

    return {(s.name, s.data) for s in home.store.open(artifact, Scores).scores}


def _tell(home: Home, artifact: str) -> None:
    from loomwork.cli.card import scores_table
    from loomwork.cli.text import short
    from loomwork.core.artifact import Artifact
    from loomwork.core.score import Score

    place: Artifact = home.store.open(artifact)
    report = place.read_json("comparison.json")
    rows = []
    for one in report["scores"]:
        system = one.pop("system")
        rows.append((system, Score.from_json(one)))
    typer.echo(f"\n{scores_table(rows)}\n")
    for d in report["differences"]:
        typer.echo(f"  {d['words']}")
        typer.echo(f"    {d['method']}; {d['power']}")
        if d["left_out"]:
            typer.echo(f"    {d['left_out']}")
    if report["settings"]["words"]:
        typer.echo(f"  other settings: {report['settings']['words']}")
    for name, words in report["slices"].get("worst", {}).items():
        typer.echo(f"  {name}: {words}")
    for c in report["contamination"]:
        typer.echo(f"  {c['system']}: contamination {c['word']}; {c['note']}")
    typer.echo(f"\n  comparison {short(artifact)}\n  its page: {place.path / 'page.html'}")
