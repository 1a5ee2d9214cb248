"""Recipes that several tests write."""

from __future__ import annotations

from collections.abc import Callable

from loomwork.core.recipe import Recipe

S = "tests.core.sample_steps:"
Load = Callable[..., Recipe]

RAW = "steps:\n  raw: {use: '@:make_rows'}\n"
SUB = """\
    inputs: [raw]
    settings: {rate: 0.1, n: 1}
    steps:
      clean: {use: '@:change', data: $raw, rate: $rate}
      model: {use: '@:fit', data: $clean, steps: $n}
      verdict: {use: '@:judge', models: {a: $model}}
    result: $model
    gate: $verdict
    """
