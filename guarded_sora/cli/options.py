"""Options that several commands share, and how they become settings."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.output import Reply
from guarded_sora.errors import UsageError
from guarded_sora.policies.finding import AgeTier, RequestContext
from guarded_sora.settings import Settings, load_settings

Command = TypeVar("Command", bound=Callable[..., Any])

_REGION = re.compile(r"[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?")

AGE_TIERS = ("minor", "adult", "verified_adult", "unknown")


def state_options(command: Callable[..., int]) -> Callable[..., int]:
    """``--home`` and ``--database-url``: where this installation's state lives; gives ``settings``.

    Options stand over the environment, that over the defaults. A group with these options does work of its
    own only when it is called alone; its commands bring options of their own.

    Raises:
        UsageError: (when the command runs) a setting cannot be used.
    """

    @functools.wraps(command)
    def with_settings(*args: Any, home: Path | None, database_url: str | None, **options: Any) -> int:
        if click.get_current_context().invoked_subcommand is not None:
            return OK
        settings = load_settings(home=home, database_url=database_url)
        return command(*args, settings=settings, **options)

    with_url = click.option(
        "--database-url",
        envvar="GUARDED_SORA_DATABASE_URL",
        help="SQLAlchemy URL (default: SQLite under home).",
    )(with_settings)
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="GUARDED_SORA_HOME",
        help="Folder of keys, log and store (default: the user's data folder).",
    )(with_url)


def output_options(command: Callable[..., int]) -> Callable[..., int]:
    """``--json`` and ``--quiet``; gives ``reply``."""

    @functools.wraps(command)
    def with_reply(*args: Any, as_json: bool, quiet: bool, **options: Any) -> int:
        return command(*args, reply=Reply(as_json=as_json, quiet=quiet), **options)

    with_quiet = click.option(
        "--quiet", "-q", is_flag=True, envvar="GUARDED_SORA_QUIET", help="No progress."
    )(with_reply)
    return click.option(
        "--json", "as_json", is_flag=True, envvar="GUARDED_SORA_JSON", help="JSON on stdout."
    )(with_quiet)


def reviewer_option(help_text: str = "Who does it; it is logged.") -> Callable[[Command], Command]:
    """``--reviewer``: the person, whose pseudonym the log gets."""
    return click.option("--reviewer", required=True, envvar="GUARDED_SORA_REVIEWER", help=help_text)


def context_options(command: Command) -> Command:
    """Who asks: the options of a request's context."""
    for option in (
        click.option(
            "--consent", "consents", multiple=True, help="Consent token; may be given several times."
        ),
        click.option("--region", default="", envvar="GUARDED_SORA_REGION", help="ISO 3166 code, or EU."),
        click.option(
            "--age-tier", type=click.Choice(AGE_TIERS), default="unknown", envvar="GUARDED_SORA_AGE_TIER"
        ),
        click.option("--tenant", default="local", envvar="GUARDED_SORA_TENANT", help="Whose platform."),
        click.option("--actor", default="local", envvar="GUARDED_SORA_ACTOR", help="Who asks."),
        click.option(
            "--profile", default="", envvar="GUARDED_SORA_PROFILE", help="Laws to satisfy: eu,us-ca,cn,in,kr."
        ),
    ):
        command = option(command)
    return command


def request_context(
    actor: str, tenant: str, age_tier: AgeTier, region: str, consents: tuple[str, ...]
) -> RequestContext:
    """The context of a request made on the command line.

    Raises:
        UsageError: the region is no ISO 3166 code.
    """
    if region and not _REGION.fullmatch(region):
        raise UsageError("--region wants an ISO 3166 code such as FR or US-CA, or EU.")
    return RequestContext(
        actor=actor,
        tenant=tenant,
        age_tier=age_tier,
        region=region,
        consents=consents,
    )


def chosen(settings: Settings, **named: object) -> Settings:
    """``settings`` with what a command's own options name in place of it; None means "not given"."""
    return settings.model_copy(update={name: value for name, value in named.items() if value is not None})


def reader_options(command: Callable[..., int]) -> Callable[..., int]:
    """``--reader`` and ``--reader-model``: who reads the prompt for the built-in generator."""
    with_model = click.option(
        "--reader-model", type=click.Path(path_type=Path), help="Folder of the reader's language model."
    )
    with_reader = click.option(
        "--reader",
        type=click.Path(path_type=Path),
        help="Folder of a trained reader, in place of the grammar.",
    )
    return with_reader(with_model(command))


def parse_size(text: str | None) -> tuple[int, int] | None:
    """``256x256`` to (width, height).

    Raises:
        UsageError: not of that form, or out of range.
    """
    if text is None:
        return None
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and len(text) <= 11):
        raise UsageError(f"--size wants WIDTHxHEIGHT in pixels, such as 256x256, not {text[:20]!r}.")
    size = int(width), int(height)
    if not all(16 <= side <= 4096 for side in size):
        raise UsageError("--size wants sides of 16 to 4096 pixels.")
    return size


def laws(text: str) -> tuple[str, ...]:
    """``eu,us-ca`` to its parts."""
    return tuple(law.strip().lower() for law in text.split(",") if law.strip())
