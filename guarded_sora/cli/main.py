"""``guarded-sora``: JSON on stdout with ``--json``, progress on stderr, one command a file.

Commands load when they are called, so that ``--help`` and ``verify`` never wait for torch.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from guarded_sora.cli.exit_status import INTERNAL, USAGE, status_of
from guarded_sora.cli.output import report_error
from guarded_sora.errors import GuardedSoraError

COMMANDS: dict[str, str] = {
    "generate": "make a film from a prompt: checked, marked, signed, logged",
    "protect": "guard a film that another generator made",
    "verify": "say of any film what can be said: whose, whole, altered",
    "scan": "look at thousands of films, a line of JSON each",
    "prompt": "say what the built-in generator understands of a prompt",
    "policy": "check prompts; test, lint and compare policy packs",
    "registry": "protected people, characters, brands and works; consents",
    "cases": "the review queue: list, show, decide, release",
    "audit": "read, prove and verify the log",
    "serve": "the HTTP API, the reviewers' console and the check page",
    "keys": "the installation's keys and trust",
    "train": "train the built-in generator",
    "migrate": "bring the database to this version",
    "doctor": "say what works here and what is missing",
}


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f"guarded_sora.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # Only names and one-liners: loading every command just to print help would be slow.
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"auto_envvar_prefix": "GUARDED_SORA", "help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="guarded-sora")
def cli() -> None:
    """Guarded Sora: text to video, checked, marked, signed and logged under one id.

    Start with: guarded-sora generate "a red balloon rising over a sandy beach" -o balloon.mp4
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in given
    if given[:1] != ["train"]:
        # Before numpy loads. Outside training its products are small, and the other threads of its BLAS
        # would spin for a while after each, at the cost of whatever else the machine has to do.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        outcome = cli.main(args=arguments, standalone_mode=False)
        status = outcome if isinstance(outcome, int) else 0
    except click.exceptions.Abort:
        report_error("interrupted", "Interrupted; nothing more was done.", as_json=as_json)
        status = INTERNAL
    except click.ClickException as error:
        if not as_json:
            error.show()
        else:
            report_error("usage", error.format_message(), as_json=True)
        status = USAGE
    except GuardedSoraError as error:
        report_error(error.code, str(error), as_json=as_json)
        status = status_of(error)
    except BrokenPipeError:
        # The reader of our output went away (``| head``); there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = INTERNAL
    except Exception as error:  # the last line of defence: no traceback with a user's text in it
        code = getattr(error, "code", None)
        if isinstance(code, str) and type(error).__module__.startswith("guarded_sora."):
            report_error(code, str(error), as_json=as_json)
        else:
            if os.environ.get("GUARDED_SORA_DEBUG"):
                raise
            report_error(
                "internal",
                f"An internal error occurred ({type(error).__name__}); "
                "run again with GUARDED_SORA_DEBUG=1 to see where, and report it.",
                as_json=as_json,
            )
        status = status_of(error)
    sys.exit(status)


if __name__ == "__main__":
    main()
