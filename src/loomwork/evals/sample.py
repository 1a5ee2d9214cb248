"""Texts that a language model writes, for people to read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from annotated_types import Ge, MinLen

from loomwork.core.artifact import Model
from loomwork.core.context import context
from loomwork.core.ranges import Seed
from loomwork.core.score import write_json
from loomwork.core.step import Card, step


@step(makes="samples", uses=["tokenizers", "torch", "transformers"], heavy=True)
def sample(
    model: Model,
    *,
    prompts: Annotated[list[str], MinLen(1)],
    max_tokens: Annotated[int, Ge(1)] = 60,
    temperature: Annotated[float, Ge(0)] = 0.8,
    seed: Seed = 7,
    out: Path,
) -> Card:
    """Continue each prompt, and write prompts and continuations to `samples.json`.

    Args:
        model: a causal language model.
        prompts: what to continue; an empty one starts from the beginning of text.
        max_tokens: the longest continuation.
        temperature: of the sampling; 0 takes the likeliest token each time.
        seed: of the first prompt; each further one adds one.
    """
    from loomwork.models.decoder import load_decoder

    decoder = load_decoder(model)
    samples = []
    for number, prompt in enumerate(prompts):
        pieces = decoder.generate(prompt, max_tokens=max_tokens, temperature=temperature, seed=seed + number)
        samples.append({"prompt": prompt, "text": "".join(pieces), "seed": seed + number})
        context().progress(number + 1, len(prompts), "prompts")
    write_json(out / "samples.json", samples)
    return Card(metrics={"samples": len(samples)}, notes=[f"{s['prompt']}▸{s['text']}" for s in samples])
