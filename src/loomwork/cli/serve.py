"""`loom serve`: a named model and its index behind an OpenAI-compatible API on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from loomwork.cli.options import HomeOption, complete_name

if TYPE_CHECKING:
    import socket

    from loomwork.serve.pinned import Pinned

STOP_SECONDS = 10  # how long answers under way may take once we are asked to stop


def serve(
    name: Annotated[str, typer.Argument(help="A model, or an index.", autocompletion=complete_name)],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one and prints it.")] = 8000,
    host: Annotated[str, typer.Option(help="Another address than this machine's own needs an API key.")] = "127.0.0.1",
    api_key: Annotated[
        str, typer.Option("--api-key", envvar="LOOMWORK_API_KEY", help="Clients must show it. Better in the variable.")
    ] = "",
    log_text: Annotated[
        bool, typer.Option("--log-text", help="Keep the text of requests in .loom/service.db.")
    ] = False,
    max_requests: Annotated[int, typer.Option("--max-requests", min=1, help="Computing or waiting at once.")] = 64,
    home: HomeOption = None,
) -> None:
    """Serve a model, and its index where it has one, until you press Ctrl-C.

    \b
    Examples:
      loom serve docs-search
      loom serve stories --port 0
      LOOMWORK_API_KEY=... loom serve docs-search --host 0.0.0.0
    """
    import logging
    import signal
    from contextlib import suppress

    from loomwork.core.errors import MissingDependency
    from loomwork.core.home import open_home

    try:
        import uvicorn

        from loomwork.serve.app import build_app
        from loomwork.serve.guard import check_exposure
    except ModuleNotFoundError as error:
        raise MissingDependency("loom serve", error.name or "fastapi", "serve") from None

    check_exposure(host, api_key)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    bound = bind(host, port)  # before the models are opened: a taken port shows at once
    with bound:
        here = open_home(home)
        app = build_app(here, name, api_key=api_key, log_text=log_text, max_requests=max_requests)
        url = f"http://{'[' + host + ']' if ':' in host else host}:{bound.getsockname()[1]}"
        here.ledger.add_events(
            "served", {i: {"name": name, "role": r, "url": url} for r, i in app.pinned.artifacts.items()}
        )
        typer.echo(greeting(app.pinned, url, bool(api_key)))
        # The access log would hold the questions, which are in the URL; requests are in service.db instead.
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=1000,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        # uvicorn raises the signal that stopped it once more when all is done: then it is no error.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[bound])
        typer.echo("stopped")


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; who connects before the models are open waits.

    Raises:
        InputError: the port is taken, or the address is not this machine's.
    """
    import errno
    import socket

    from loomwork.core.errors import InputError

    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"port {port} of {host} is taken", "give another one: --port 8001; or --port 0 takes a free one"
            ) from None
        raise InputError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from None
    return bound


def greeting(pinned: Pinned, url: str, has_key: bool) -> str:
    """What a user can do now."""
    from loomwork.cli.text import short

    served = ", ".join(f"{role.replace('_', ' ')} {short(i)}" for role, i in pinned.artifacts.items())
    lines = [f"{pinned.name} at {url}", f"  {served}"]
    lines += [f"  note: {remark}" for remark in pinned.remarks]
    if pinned.answers:
        lines += ["", f"  {url}/search"]
    key = " -H 'authorization: Bearer '$LOOMWORK_API_KEY" if has_key else ""
    path = "completions" if pinned.decoder else "embeddings"
    field = '"prompt": "Once", "max_tokens": 40' if pinned.decoder else '"input": "merge two sorted lists"'
    call = (
        "completions.create(model={0!r}, prompt='Once')"
        if pinned.decoder
        else "embeddings.create(model={0!r}, input='...')"
    )
    lines += [
        "",
        f"  curl {url}/v1/{path}{key} -H 'content-type: application/json' \\",
        f'    -d \'{{"model": "{pinned.name}", {field}}}\'',
        "",
        f"  client = openai.OpenAI(base_url='{url}/v1', api_key={'KEY' if has_key else repr('none')})",
        f"  client.{call.format(pinned.name)}",
        "",
        "  Ctrl-C stops it",
    ]
    return "\n".join(lines)
