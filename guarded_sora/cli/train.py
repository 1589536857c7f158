"""``guarded-sora train``."""

from __future__ import annotations

from pathlib import Path

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.errors import BackendUnavailable, UsageError


@click.command("train")
@click.argument("name", type=click.Choice(["autoencoder", "base", "cascade", "prompts", "detector"]))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the run (default: runs/NAME).",
)
@click.option("--seed", type=int, help="Another seed than that of the shipped model.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Another value of a field of training/config.py or training/prompt_head.py.",
)
def command(name: str, out: Path | None, seed: int | None, settings: tuple[str, ...]) -> int:
    """Train a part of the built-in generator, the prompt head or the detector.

    The cascade is trained twice: --set stage=temporal and --set stage=spatial, each with its own --out.
    """
    try:
        from guarded_sora.training import defaults, train
    except ModuleNotFoundError as error:
        raise BackendUnavailable(
            f"Training needs {error.name}; install it with: pip install 'guarded-sora[generate]'."
        ) from error
    options = {
        key: _read(value, getattr(defaults(name), key, None), key) for key, value in map(_split, settings)
    }
    if seed is not None:
        options["seed"] = seed
    exported = train(name, out=out or Path("runs") / name, **options)
    click.echo(f"trained weights lie in {exported}")
    return OK


def _split(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set wants FIELD=VALUE, not {text[:40]!r}.")
    return key, value


def _read(text: str, default: object, key: str) -> object:
    """``text`` as the type the field has."""
    try:
        match default:
            case bool():
                return {"true": True, "false": False}[text.lower()]
            case int():
                return int(text)
            case float():
                return float(text)
            case str():
                return text
            case _:
                raise UsageError(f"The configuration has no field {key[:40]!r} that can be set here.")
    except (ValueError, KeyError) as error:
        raise UsageError(f"{key} wants a value like {default!r}, not {text[:40]!r}.") from error
