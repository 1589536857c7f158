"""The vocabulary of a law's file: clauses, their dates of force, and what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal

from guarded_sora.provenance.conformance.facts import Facts

Level = Literal["duty", "encouraged", "optional"]
TextStatus = Literal["primary", "faithful_copies", "faithful_copy", "secondary", "to_confirm"]
"""How the clause's text was seen. ``primary``: the official text; ``faithful_copies``: two or more
independent
quotations that agree; ``faithful_copy``: one; ``secondary``: reports about it; ``to_confirm``: a value not
to be relied on."""

Piece = Literal["credentials", "source_type", "timestamp", "watermark", "labels", "aigc", "detector"]
"""A piece of evidence that a clause may rest on."""

PIECES: tuple[Piece, ...] = (
    "credentials",
    "source_type",
    "timestamp",
    "watermark",
    "labels",
    "aigc",
    "detector",
)


class ClauseState(StrEnum):
    """What can be said of one clause.

    ``NEEDS_HUMAN``: no file can show it, or the check did not run. ``UNCONFIRMED``: the clause's text, or a
    fact it needs, could not be confirmed; never a pass.
    """

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"
    NEEDS_HUMAN = "needs_human"
    UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A state and the evidence for it: one plain sentence without personal data."""

    state: ClauseState
    evidence: str


Check = Callable[[Facts], Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One clause of one law.

    ``since`` and ``until`` (inclusive) are its dates of force. ``rests_on`` names the evidence whose loss
    changes the finding; a ``marking`` clause fails on a clip that carries
    nothing.
    """

    id: str
    title: str
    source: str
    text_status: TextStatus
    since: date
    check: Check
    until: date | None = None
    level: Level = "duty"
    rests_on: frozenset[Piece] = frozenset()
    marking: bool = False

    def find(self, facts: Facts, on: date) -> Finding:
        """The finding on the day ``on``; a text that was not confirmed never passes."""
        if on < self.since:
            return Finding(
                state=ClauseState.NOT_APPLICABLE, evidence=f"in force from {self.since.isoformat()}"
            )
        if self.until is not None and on > self.until:
            return Finding(
                state=ClauseState.NOT_APPLICABLE, evidence=f"in force until {self.until.isoformat()}"
            )
        found = self.check(facts)
        if self.text_status in ("secondary", "to_confirm") and found.state is not ClauseState.NOT_APPLICABLE:
            return Finding(
                state=ClauseState.UNCONFIRMED,
                evidence=f"the clause's text could not be confirmed; as we read it: {found.evidence}",
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """A law as data: ``id`` as in profiles (``eu``), ``version`` of our reading, its clauses."""

    id: str
    title: str
    version: str
    clauses: tuple[Clause, ...]


def passed(evidence: str) -> Finding:
    return Finding(state=ClauseState.PASS, evidence=evidence)


def failed(evidence: str) -> Finding:
    return Finding(state=ClauseState.FAIL, evidence=evidence)


def human(evidence: str) -> Finding:
    return Finding(state=ClauseState.NEEDS_HUMAN, evidence=evidence)


def unconfirmed(evidence: str) -> Finding:
    return Finding(state=ClauseState.UNCONFIRMED, evidence=evidence)


def not_applicable(evidence: str) -> Finding:
    return Finding(state=ClauseState.NOT_APPLICABLE, evidence=evidence)


def in_every_frame(language: str) -> Check:
    """The check of a label for the whole length."""

    def find(facts: Facts) -> Finding:
        if facts.labels is None:
            return human("no visible label was looked for")
        seen = set(facts.labels.times(language))
        if facts.labels.looked and all(time in seen for time in facts.labels.looked):
            return passed("label in every frame that was looked at")
        return failed("not every frame that was looked at shows the label")

    return find


def at_opening(language: str, facts: Facts, passing: str) -> Finding:
    """The finding of a clause that wants our label on the opening picture; ``passing`` is said of it then."""
    if facts.labels is None:
        return human("no visible label was looked for")
    if not facts.label_at_opening(language):
        return failed("no label of ours on the opening picture; labels of other design are not recognised")
    return passed(passing)


def outside(what: str) -> Check:
    """A check whose answer lies with people and their records: ``what`` says where."""
    return always(human(f"no file shows it: {what}"))


def always(finding: Finding) -> Check:
    """A check whose finding no file changes."""
    return lambda facts: finding
