"""`loom generate`: text from a named decoder, as it is made."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from loomwork.cli.options import HomeOption, JsonOption, complete_name


def generate(
    name: Annotated[str, typer.Argument(help="The name or id of a decoder.", autocompletion=complete_name)],
    prompt: Annotated[str, typer.Argument(help="What the model continues.")],
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="The most tokens to add.")] = 128,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token each time.")] = 1.0,
    top_p: Annotated[float, typer.Option("--top-p", help="Sample from the likeliest tokens that make this up.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Of the sampling; without it every run differs.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="A string that ends the text; may be repeated.")] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Take the prompt as a message, and let the model answer.")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Continue a prompt with a decoder; the text appears as it is made.

    \b
    Examples:
      loom generate stories "Once upon a time" --max-tokens 60
      loom generate stories "Lily saw" --temperature 0 --json
    """
    from loomwork.cli import text
    from loomwork.core.artifact import Model
    from loomwork.core.errors import InputError
    from loomwork.core.home import open_home
    from loomwork.models.folder import read_about
    from loomwork.serve.answer import stale_reasons

    here = open_home(home)
    model = here.open(name, Model)
    if (task := read_about(model).task) != "generate":
        raise InputError(f"the model {name!r} is for the task {task!r} and generates no text", f"try loom ask {name}")
    from loomwork.models.decoder import load_decoder

    decoder = load_decoder(model)
    sampling: dict[str, Any] = {
        "max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "seed": seed, "stop": stop or []
    }  # fmt: skip
    given = prompt
    if chat:
        turns = [{"role": "user", "content": prompt}]
        given, made = decoder.chat_prompt(turns), decoder.chat(turns, **sampling)
        if not decoder.tokenizer.chat_template:
            told = "the model has no chat template: the prompt is made of lines `user: ` and `assistant:`"
            typer.echo(f"warning: {told}", err=True)
    else:
        made = decoder.generate(prompt, **sampling)
    stale = stale_reasons(here, model.id)
    if as_json:
        text.echo_json({"name": name, "model": model.id, "stale": stale, "prompt": given, "text": "".join(made),
                        "finish": made.finish, "prompt_tokens": made.prompt_tokens,
                        "new_tokens": made.new_tokens})  # fmt: skip
        return
    for why in stale:
        typer.echo(f"warning: the model is stale: {why}", err=True)
    if not chat:
        typer.echo(prompt, nl=False)
    for piece in made:
        typer.echo(piece, nl=False)  # echo flushes
    typer.echo()
