"""Exit status: what scripts rely on."""

from __future__ import annotations

import pytest

from guarded_sora.cli.exit_status import of_verdict
from guarded_sora.verdicts import VerdictName


@pytest.mark.parametrize("notice", ["stay_down", "withdrawn", "consent_withdrawn"])
def test_a_whole_film_that_was_decided_against_is_not_well(notice: str) -> None:
    assert of_verdict("ours_intact") == 0
    assert of_verdict("ours_intact", [notice]) == 1
    assert of_verdict("ours_intact", ["given_to_protect"]) == 0


def test_every_verdict_has_a_status() -> None:
    assert {of_verdict(name.value) for name in VerdictName} == {0, 1, 4}
