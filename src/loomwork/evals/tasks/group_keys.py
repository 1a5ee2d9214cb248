"""A group's file: its members, what it changes of them, and which of their metrics it brings together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loomwork.core.recipe_yaml import Plain, Tagged, Tree
from loomwork.evals.tasks.keys import Keys
from loomwork.evals.tasks.task import Group, GroupMetric, Member

OWN = frozenset({"group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag"})


def group_of(keys: Keys, path: Path) -> Group:
    """The group that a mapping describes: a file, or an entry in another group's list.

    Raises:
        RecipeError: it has no members, or one is neither a name nor a mapping with `task` or `group`.
    """
    if "task" not in keys:
        raise keys.error("group", "a group needs `task`, the list of its members", "leave `group` out of a task")
    value = keys.tree["task"]
    return Group(
        name=keys.text("group"),
        members=tuple(_member(keys, v, path) for v in (value if isinstance(value, list) else [value])),
        metrics=tuple(_metric(entry) for entry in keys.entries("aggregate_metric_list")),
        changes=_rest(keys.tree, OWN),
        metadata=keys.plain("metadata", {}),
        alias=keys.text("group_alias"),
        tags=keys.texts("tag"),
        file=path,
    )


def _member(keys: Keys, value: Any, path: Path) -> Member | Group:
    if isinstance(value, str) and not isinstance(value, Tagged):
        return Member(str(value))
    if isinstance(value, Tree):
        inner = Keys(value, {}, keys.trust, f"{keys.path}task.", keys.files)
        if "group" in inner and "task" in inner:
            return group_of(inner, path)
        name = "task" if "task" in inner else "group"
        if name in inner and isinstance(value[name], Plain | str):
            return Member(inner.text(name), _rest(value, frozenset({name})))
    raise keys.error("task", f"a member is a name, or a mapping with `task` or `group`, not {value!r}")


def _metric(entry: Keys) -> GroupMetric:
    entry.check_known({"metric", "filter_list", "aggregation", "weight_by_size"})
    if "metric" not in entry:
        raise entry.error("metric", "is missing")
    if entry.text("aggregation", "mean") != "mean":
        raise entry.error("aggregation", "of a group is `mean`", "leave it out")
    filters = entry.texts("filter_list") if "filter_list" in entry else None
    return GroupMetric(entry.text("metric"), filters, entry.flag("weight_by_size", True))


def _rest(tree: Tree, without: frozenset[str]) -> Tree:
    kept = {k: v for k, v in tree.items() if k not in without}
    return Tree(kept, tree.file, tree.line, tree.lines)
