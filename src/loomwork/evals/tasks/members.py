"""The tasks of a group: its members found by name among the task files of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loomwork.core.errors import InputError, LoomError, RecipeError, did_you_mean
from loomwork.core.recipe_yaml import Tree
from loomwork.evals.tasks.keys import read_keys
from loomwork.evals.tasks.task import Group, Member, Task
from loomwork.evals.tasks.task_file import load


class TaskFolder:
    """The task files below a folder, by the names that they give to tasks, groups and tags.

    Args:
        path: the folder. Files that cannot be read are passed over here; `faults` says why.

    Raises:
        InputError: there is no such folder, or it has no task files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, Path] = {}
        self.tags: dict[str, list[str]] = {}
        self.faults: dict[Path, str] = {}
        for file in sorted(path.rglob("*.yaml")):
            try:
                self._add(file)
            except LoomError as error:
                self.faults[file] = str(error)
        if not self.files:
            raise InputError(f"there are no task files below {path}", "they end in .yaml, and have the key `task`")

    def _add(self, file: Path) -> None:
        keys = read_keys(file, trust=True)  # names are read, and no function is loaded
        name = keys.text("group") if "group" in keys else keys.text("task")
        if not name or name in self.files:  # a file that others include; the first of a name, as lm-eval has it
            return
        self.files[name] = file
        for tag in keys.texts("tag") if "group" not in keys else ():
            self.tags.setdefault(tag, []).append(name)

    def tasks(self, name: str, *, trust: bool = False) -> list[Task]:
        """The tasks that a name stands for: one, those of a group, or those of a tag.

        Raises:
            InputError: there is no such name.
            RecipeError: a file of it cannot be read, or groups contain one another.
        """
        return list(self._named(name, Tree({}), trust, ()))

    def members(self, group: Group, *, trust: bool = False) -> list[Task]:
        """The tasks of a group, in its order, those of groups inside it among them."""
        return list(self._members(group, Tree({}), trust, ()))

    def _named(self, name: str, changes: Tree, trust: bool, above: tuple[str, ...]) -> Iterator[Task]:
        if name in above:
            raise InputError(f"groups contain one another: {' -> '.join((*above, name))}")
        if name not in self.files and name in self.tags:
            for tagged in sorted(self.tags[name]):
                yield from self._named(tagged, changes, trust, (*above, name))
            return
        if name not in self.files:
            hint = did_you_mean(name, [*self.files, *self.tags])
            raise InputError(f"there is no task, group or tag {name!r} below {self.path}", hint)
        found = load(self.files[name], trust=trust, changes=changes if _is_task(self.files[name]) else None)
        if isinstance(found, Task):
            yield found
        else:
            yield from self._members(found, changes, trust, (*above, name))

    def _members(self, group: Group, changes: Tree, trust: bool, above: tuple[str, ...]) -> Iterator[Task]:
        here = _over(_tree(group.changes), changes)
        for member in group.members:
            if isinstance(member, Group):
                yield from self._members(member, here, trust, above)
            else:
                yield from self._member(member, here, trust, above)

    def _member(self, member: Member, changes: Tree, trust: bool, above: tuple[str, ...]) -> Iterator[Task]:
        own = _over(changes, _tree(member.changes))
        try:
            yield from self._named(member.name, own, trust, above)
        except RecipeError:
            raise
        except InputError as error:
            if isinstance(member.changes, Tree) and member.changes.file:
                raise RecipeError(error.what, error.hint, member.changes.file, member.changes.line) from None
            raise


def _is_task(file: Path) -> bool:
    return "group" not in read_keys(file, trust=True)


def _tree(changes: Any) -> Tree:
    return changes if isinstance(changes, Tree) else Tree(changes)


def _over(below: Tree, above: Tree) -> Tree:
    """Both, `above` counting where both say something; lines are those of `above` where it has any."""
    first = above if above else below
    return Tree({**below, **above}, first.file, first.line, {**below.lines, **above.lines})
