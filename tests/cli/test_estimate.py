"""loom estimate: of the steps that would run, in words and as JSON."""

from __future__ import annotations

import pytest

from cli.conftest import Project

TRAINING = """\
recipe: small
steps:
  raw:       {use: data.read, path: lines.txt}
  tokenizer: {use: train.tokenizer, data: $raw, vocabulary: 300}
  base:      {use: train.init, tokenizer: $tokenizer, layers: 1, context_tokens: 16}
  model:     {use: train.pretrain, base: $base, data: $raw, tokens: 1000, batch_tokens: 64}
  further:   {use: train.pretrain, base: $model, data: $raw, batch_tokens: 64}
"""


def test_it_tells_what_training_would_take_and_runs_nothing(project: Project) -> None:
    pytest.importorskip("torch")
    project.write(TRAINING)
    found = {one["step"]: one for one in project.json("estimate", "recipe.yaml")["steps"]}
    layer = 4 * 64 * 64 + 3 * 64 * 192 + 2 * 64
    assert found["model"]["parameters"] == 300 * 64 + layer + 64
    assert found["model"]["seconds"] > 0
    assert found["further"]["seconds"] is None
    assert any("follows from the data" in line for line in found["further"]["assumed"])
    out = project("estimate", "recipe.yaml", "--set", "steps.further.tokens=640")
    assert "memory" in out
    assert "further" in out
    assert "11 steps" in out  # 640 predicted tokens of texts of 16, of which one is only read: 683 in batches of 64
    assert "raw" not in project("show")


def test_a_recipe_without_training_needs_none(project: Project) -> None:
    assert "no training step" in project("estimate", "recipe.yaml")
    assert project.json("estimate", "recipe.yaml")["steps"] == []
