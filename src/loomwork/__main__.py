"""python -m loomwork: the same as the command `loom`."""

from loomwork.cli.main import app

app()
