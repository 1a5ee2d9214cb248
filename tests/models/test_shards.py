"""Weights in several files become the one file that saving the model at once would have given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loomwork.core.errors import InputError
from loomwork.models.shards import INDEX, join_shards

pytest.importorskip("torch")


@pytest.fixture
def sharded(stories, tmp_path) -> Path:
    """stories260K as transformers saves it in files of at most 400 kB."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "sharded"
    AutoModelForCausalLM.from_pretrained(stories.path).save_pretrained(folder, max_shard_size="400KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    return folder


def test_the_file_has_the_bytes_of_a_model_saved_at_once(sharded, stories, tmp_path):
    join_shards(sharded, tmp_path / "joined.safetensors")
    assert (tmp_path / "joined.safetensors").read_bytes() == stories.file("model.safetensors").read_bytes()


def test_an_index_and_files_that_do_not_fit_are_refused(sharded, tmp_path):
    good = json.loads((sharded / INDEX).read_bytes())
    places = good["weight_map"]
    first, file = next(iter(places.items()))
    other = next(name for name in places.values() if name != file)
    for wrong, match in (
        (b"{", "is no index of weights"),
        ({"weight_map": [first]}, "is no index of weights"),
        ({"weight_map": {first: {}}}, "is no index of weights"),
        (
            {"weight_map": places | {first: "../model.safetensors"}},
            r"names '\.\./model.*', which is no file",
        ),
        ({"weight_map": places | {first: "gone.safetensors"}}, "which is no file beside it"),
        ({"weight_map": places | {first: other}}, f"does not hold what {INDEX} says: '{first}'"),
        ({"weight_map": places | {"more": file}}, "does not hold what .* says: 'more'"),
        ({"weight_map": {n: p for n, p in places.items() if n != first}}, f"does not hold what .*'{first}'"),
    ):
        (sharded / INDEX).write_bytes(wrong if isinstance(wrong, bytes) else json.dumps(wrong).encode())
        with pytest.raises(InputError, match=match):
            join_shards(sharded, tmp_path / "joined.safetensors")
    (sharded / INDEX).write_text(json.dumps(good))
    (sharded / file).write_bytes((sharded / file).read_bytes()[:-1])
    with pytest.raises(InputError, match="cannot be read"):
        join_shards(sharded, tmp_path / "joined.safetensors")
