"""What a person sees on stderr and what a program reads on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
import orjson

from guarded_sora.progress import Progress, Silent


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout."""
    click.echo(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode())


def report_error(code: str, message: str, *, as_json: bool) -> None:
    """One clear sentence: on stderr, or as ``{"error": ...}`` on stdout."""
    if as_json:
        print_json({"error": {"code": code, "message": message}})
    else:
        click.echo(f"guarded-sora: {message}", err=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "default")
    for row in rows:
        table.add_row(*(clean(str(cell)) for cell in row))
    Console(soft_wrap=False).print(table)


def clean(text: str) -> str:
    """``text`` without rich markup, control or direction characters: a file's name is not ours."""
    from rich.markup import escape

    visible = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
    return escape(visible)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Progress]:
    """A live progress bar on stderr when a person is looking, silence otherwise."""
    if quiet or not sys.stderr.isatty():
        yield Silent()
        return
    from guarded_sora.cli.live import live_progress

    with live_progress() as shown:
        yield shown
