"""The settings of a recipe's steps: checked by what the step's signature says, their files and names looked up."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loomwork.core.calls import checked_calls, in_words
from loomwork.core.errors import InputError, RecipeError, did_you_mean
from loomwork.core.files import list_sources
from loomwork.core.fingerprint import object_parts
from loomwork.core.hints import keyed_types
from loomwork.core.recipe_faults import Faults
from loomwork.core.recipe_yaml import Tree
from loomwork.core.secret import read_secret
from loomwork.core.step import Calls, Files, Names, Reads, Secret, Step

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def checked_settings(
    full: str, keys: Tree, step: Step, given: Mapping[str, Any], faults: Faults, unread: Collection[str] = ()
) -> dict[str, Any]:
    """All settings of a step as JSON values, their files and names looked up.

    Args:
        full: the step's name in messages.
        keys: what the recipe says of it.
        given: the values by setting.
        faults: hears what is wrong; then the result is not to be used.
        unread: settings whose faults are known already.
    """
    from pydantic import ValidationError
    from pydantic_core import PydanticSerializationError

    whole = not unread
    try:
        settings: dict[str, Any] = step.settings_model(**given).model_dump(mode="json", warnings=False)
    except ValidationError as error:
        whole = False
        wrong: dict[str, list[ErrorDetails]] = {}
        for detail in error.errors(include_url=False):
            wrong.setdefault(str(detail["loc"][0]), []).append(detail)
        for key, details in wrong.items():
            if key not in unread:
                faults.add(_wrong_setting(key, details, full, keys, step, given))
        settings = {key: value for key, value in given.items() if key not in wrong}
    except PydanticSerializationError as error:
        faults.add(keys.error(f"step {full!r}: its settings cannot be stored as JSON: {error}"))
        return {}
    for key, value in settings.items():
        try:
            with faults.caught():  # a file that the setting leads to may have faults of its own
                settings[key] = _looked_up(step, key, value, settings if whole else None)
        except InputError as error:
            faults.add(keys.error(f"step {full!r}: {key}: {error.what}", error.hint, key))
    return settings


def _looked_up(step: Step, key: str, value: Any, settings: Mapping[str, Any] | None) -> Any:
    """A setting's value, with all settings of the calls in it.

    Args:
        settings: all of them; None where some are wrong, so that nothing can be read by them.

    Raises:
        InputError: a file, a name or a secret that it means is not there.
    """
    files, names, calls = (step.marker(key, kind) for kind in (Files, Names, Calls))
    if calls:
        return checked_calls(calls, value)
    if value is not None and step.marker(key, Secret):
        read_secret(value)
    if value is not None and (reads := step.marker(key, Reads)):
        if settings is not None:
            reads.paths(value, settings)
        return value
    for one in value if isinstance(value, list) else [value]:
        if files and one is not None and not Path(one).is_dir():
            list_sources(one, files)
        if names and one is not None:
            object_parts(names.package, one)
    return value


def _wrong_setting(
    key: str, details: list[ErrorDetails], full: str, keys: Tree, step: Step, given: Mapping[str, Any]
) -> RecipeError:
    """pydantic's errors of one setting as one short sentence."""
    if details[0]["type"] == "missing":
        return keys.error(f"step {full!r}: {step.name} needs the setting {key!r}", f"{key}: ...", key)
    for fault in details:
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument") and len(fault["loc"]) > 1:
            known = [n for kind in keyed_types(step.hints.get(key)) for n in kind.__annotations__]
            *around, wrong = map(str, fault["loc"])
            what = f"step {full!r}: {'.'.join(around)} has a key {wrong!r}, which it cannot have"
            return keys.error(what, did_you_mean(wrong, known, show=len(known)), key)
    wanted = {}
    for fault in details:
        inner = _place(given.get(key), fault["loc"][1:])
        message = in_words(fault["msg"])
        wanted[f"{key}{inner} {message}"] = fault["input"]
    value = given.get(key)
    hint = "write it in quotes" if isinstance(value, int | float) and "valid string" in str(wanted) else ""
    return keys.error(f"step {full!r}: {key} is {value!r}; {' or '.join(wanted)}", hint, key)


def _place(value: Any, path: Sequence[str | int]) -> str:
    """Where in a value pydantic's path leads, as ".text[0]"; the names of types in the path are left out."""
    told = ""
    for step in path:
        if isinstance(value, Mapping) and step in value:
            value, told = value[step], f"{told}.{step}"
        elif isinstance(value, list) and isinstance(step, int):
            value, told = value[step], f"{told}[{step}]"
    return told
