"""Whether a folder has the weights that its config.json speaks of: transformers lets others begin at random."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from loomwork.core.errors import InputError
from loomwork.models.folder import CAUSAL, WEIGHTS
from loomwork.models.stored import check_stored

SHOWN = 3  # names in an error
CONSTANTS = ("position_ids", "inv_freq", "masked_bias", "attn.bias")  # old files hold them; the model makes its own
GET_AGAIN = "get the folder's files again, all of one model: config.json and its weights belong together"


def open_complete(
    kind: Any, folder: Path, *, new_head: bool = False, seed: int = 0, **options: Any
) -> tuple[Any, list[str], list[str]]:
    """Open a folder in float32 on the CPU, after a look at the names and shapes of its weights.

    Args:
        kind: a class of transformers, or an auto class.
        folder: of Hugging Face.
        new_head: whether weights outside of the inner model may begin anew: an output layer that is to be trained.
        seed: of what begins anew.
        options: of `from_pretrained`, `config` or `state_dict`, say.

    Returns: the model, the names of the weights that begin anew, and notes on weights that it does not take.

    Raises:
        InputError: as `check_weights`.
        OSError, ValueError, RuntimeError: the folder does not open as that class.
    """
    import torch

    check_weights(kind, folder, new_head=new_head, **options)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model, loaded = _load(kind, folder, options | {"dtype": torch.float32})
    notes = _check(model, loaded, folder, new_head)  # where accelerate is not installed it is the only look
    return model, sorted(loaded["missing_keys"]), notes


def check_weights(kind: Any, folder: Path, *, new_head: bool = False, **options: Any) -> None:
    """Refuse a folder whose weights are not those of its model, before memory is taken for them.

    The model is put together on torch's meta device, where tensors have a shape and no numbers; transformers needs
    accelerate for it. Args and Raises as `open_complete`.

    Raises:
        InputError: a weight is missing, or of another shape; layers of the file are left out; the file is cut off.
    """
    if (folder / WEIGHTS).is_file():  # a folder of others may have shards
        check_stored(folder / WEIGHTS)
    if find_spec("accelerate"):
        # other shapes are refused by _check, which names them
        model, loaded = _load(kind, folder, options | {"device_map": "meta", "ignore_mismatched_sizes": True})
        _check(model, loaded, folder, new_head)


def _load(kind: Any, folder: Path, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A model and what transformers says of its weights."""
    from transformers.utils import logging

    given = None if options.get("state_dict") is not None else folder
    # No bars and no reports, which would stand between the lines of whoever runs this.
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        model, loaded = kind.from_pretrained(
            given, **options, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    finally:
        logging.set_verbosity(before)
    return model, loaded


def _check(model: Any, loaded: dict[str, Any], folder: Path, new_head: bool) -> list[str]:
    """Refuse what `check_weights` does; notes on weights that are not taken."""
    name = type(model).__name__
    if lacking := [key for key in sorted(loaded["missing_keys"]) if not _may_begin(key, model, new_head)]:
        raise InputError(f"{folder} lacks weights of {name}: {_some(lacking)}", GET_AGAIN)
    if other := sorted(loaded["mismatched_keys"]):
        key, stored, wanted = other[0]
        what = f"{key} is {tuple(stored)} in the file and {tuple(wanted)} in the model"
        raise InputError(f"{folder} has weights of other shapes than config.json says: {what}", GET_AGAIN)
    unused = [key for key in sorted(loaded["unexpected_keys"]) if not key.endswith(CONSTANTS)]
    known = {_pattern(key, model) for key in model.state_dict()}
    if layers := [key for key in unused if _pattern(key, model) in known]:
        raise InputError(f"{folder} has layers that config.json leaves out of {name}: {_some(layers)}", GET_AGAIN)
    modules = sorted({key.partition(".")[0] for key in unused})
    return [f"weights of the base that are not taken: {_some(modules)}"] if modules else []


def check_taken(folder: Path) -> None:
    """The same of a folder of any task, where transformers is installed and knows the model.

    Raises:
        InputError: as `check_weights`.
    """
    if (folder / WEIGHTS).is_file():
        check_stored(folder / WEIGHTS)
    config = json.loads((folder / "config.json").read_bytes())
    if not find_spec("transformers") or "quantization_config" in config:
        return  # packed weights have shapes that only their own library knows
    import transformers

    named = (config.get("architectures") or ["AutoModel"])[0]
    try:
        known = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        kind = getattr(transformers, named, None)
        if kind is not None:
            check_weights(kind, folder, new_head=not named.endswith(CAUSAL), config=known)
    except (OSError, ValueError, RuntimeError, TypeError, ImportError, LookupError):
        return  # a model that transformers does not know: what opens it will say so


def _may_begin(key: str, model: Any, new_head: bool) -> bool:
    """Whether a weight may begin at random: encoders are often saved without the pooler, which few tasks read."""
    if "pooler" in key.split("."):
        return True
    headed = new_head and hasattr(model, model.base_model_prefix)  # else it is the inner model itself
    return headed and not key.startswith(model.base_model_prefix + ".")


def _pattern(key: str, model: Any) -> str:
    """A weight's name whatever layer it is of, within the inner model."""
    return re.sub(r"\.\d+\.", ".*.", key.removeprefix(model.base_model_prefix + "."))


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
