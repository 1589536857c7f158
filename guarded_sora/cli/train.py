"""``guarded-sora train``."""

from __future__ import annotations

from pathlib import Path

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.errors import BackendUnavailable


@click.command("train")
@click.argument("name", type=click.Choice(["autoencoder", "base"]))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), show_default=True
)
@click.option(
    "--minutes", type=float, help="Stop after so many minutes (default: the shipped model's budget)."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--threads", type=int, default=1, show_default=True)
def command(name: str, out: Path, minutes: float | None, seed: int, threads: int) -> int:
    """Train a part of the built-in generator on the procedural world; resumes where it stopped."""
    try:
        from guarded_sora.training import train
    except ModuleNotFoundError as error:
        raise BackendUnavailable(
            f"Training needs {error.name}; install it with: pip install 'guarded-sora[generate]'."
        ) from error
    train(name, out=out, minutes=minutes, seed=seed, threads=threads)
    return OK
