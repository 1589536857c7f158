"""Options that several commands share: what a command is given for them."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from guarded_sora.cli import keys
from guarded_sora.cli.options import chosen, output_options, reviewer_option, state_options
from guarded_sora.cli.output import Reply
from guarded_sora.errors import UsageError
from guarded_sora.settings import Settings


@click.command()
@reviewer_option()
@output_options
@state_options
def tell(reviewer: str, reply: Reply, settings: Settings) -> int:
    """A command that says what it was given."""
    reply.say({"home": str(settings.home), "who": reviewer}, f"home {settings.home}", f"by {reviewer}")
    return 0


def test_a_command_is_given_settings_and_a_way_to_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUARDED_SORA_HOME", str(tmp_path / "environment"))
    said = CliRunner().invoke(tell, ["--home", str(tmp_path), "--reviewer", "ann"]).output
    assert said.splitlines() == [f"home {tmp_path}", "by ann"]
    said = CliRunner().invoke(tell, ["--reviewer", "ann", "--json"]).output
    assert said == f'{{"home":"{tmp_path}/environment","who":"ann"}}\n'


def test_a_setting_that_cannot_be_used_stops_a_command_but_not_its_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GUARDED_SORA_MARK_PSNR", "900")
    wrong = CliRunner().invoke(tell, ["--reviewer", "ann"])
    assert isinstance(wrong.exception, UsageError) and "mark_psnr" in str(wrong.exception)
    for arguments in (["--help"], ["trust", "--help"], ["mark", "rotate", "--help"]):
        assert CliRunner().invoke(keys.command, arguments).exit_code == 0


def test_a_commands_own_option_stands_over_the_settings() -> None:
    settings = Settings(backend="elsewhere")
    assert chosen(settings, backend=None) == settings
    assert chosen(settings, backend="builtin").backend == "builtin"
