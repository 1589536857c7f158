"""Complaints from outside, as cases with a clock. What to do about copies is decided elsewhere.

The clocks are data (``clocks.json``), each with its source; they are a working aid, not advice on law.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from guarded_sora.audit.case import Case
from guarded_sora.audit.cases import CaseBook
from guarded_sora.audit.entry import Event, uuid7
from guarded_sora.audit.errors import Conflict, EntryInvalid
from guarded_sora.audit.log import AuditLog

CLAIMS = ("intimate", "likeness", "copyright", "trademark", "illegal", "child_safety", "other")
COMPLAINANTS = ("person", "rights_holder", "trusted_flagger", "authority", "anybody")
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How long an answer may take. ``"*"`` in ``claims``, ``by`` or ``jurisdiction`` means any."""

    id: str
    jurisdiction: str
    claims: tuple[str, ...]
    by: tuple[str, ...]
    hours: int
    source: str

    def runs_for(self, claim: str, by: str, jurisdiction: str) -> bool:
        return (
            self.jurisdiction in ("*", jurisdiction)
            and ("*" in self.claims or claim in self.claims)
            and ("*" in self.by or by in self.by)
        )


@cache
def clocks() -> tuple[Clock, ...]:
    """The clocks that come with this program."""
    items = orjson.loads((Path(__file__).parent / "clocks.json").read_bytes())
    return tuple(
        Clock(**{**item, "claims": tuple(item["claims"]), "by": tuple(item["by"])}) for item in items
    )


def shortest(claim: str, by: str, jurisdiction: str, known: Sequence[Clock] | None = None) -> Clock:
    """The clock that runs out first for such a notice."""
    found = [clock for clock in known or clocks() if clock.runs_for(claim, by, jurisdiction)]
    if not found:
        raise EntryInvalid("No clock covers this notice; add one with jurisdiction and claims '*'.")
    return min(found, key=lambda clock: clock.hours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notice that was taken in: its case, whose key its text lies under, and when it is due."""

    case_id: str
    complainant: str
    clock: Clock
    due_ts: int


class NoticeDesk:
    """Takes in notices and answers them; everything stands in the log, words encrypted."""

    def __init__(
        self, log: AuditLog, book: CaseBook | None = None, known: Sequence[Clock] | None = None
    ) -> None:
        self._log = log
        self._book = book or CaseBook(log)
        self._known = known

    def receive(
        self,
        claim: str,
        about: str,
        *,
        by: str = "anybody",
        jurisdiction: str = "*",
        statement: str = "",
        contact: str = "",
        link: str = "",
        evidence: Mapping[str, Any] | None = None,
        attached: Mapping[str, str] | None = None,
        now: int,
    ) -> Notice:
        """Open a case for a complaint about ``about`` (a clip id, or the SHA-256 of an upload).

        Identity is optional. ``statement``, ``contact`` and ``link`` are personal data: they are kept
        encrypted under a pseudonym made for this complainant, who can be erased alone. ``evidence``:
        integers and short text for the entry. ``attached``: more text to keep encrypted with the words.
        ``now``: milliseconds since 1970, when the clock starts.
        """
        if claim not in CLAIMS or by not in COMPLAINANTS:
            raise EntryInvalid(
                f"A notice claims one of {', '.join(CLAIMS)} and comes from one of {', '.join(COMPLAINANTS)}."
            )
        clock = shortest(claim, by, jurisdiction, self._known)
        complainant = f"complainant-{uuid7()}"
        due = now + clock.hours * HOUR_MS
        said = {"statement": statement, "contact": contact, "link": link, **(attached or {})}
        words = orjson.dumps({name: _safe(value) for name, value in said.items()})
        case_id = self._book.open(
            f"notice.{claim}",
            about,
            {
                "by": by,
                "jurisdiction": jurisdiction,
                "clock": clock.id,
                "hours": clock.hours,
                "evidence": dict(evidence or {}),
            },
            words,
            actor=complainant,
            owner=complainant,
            critical=claim == "child_safety",
            due_ts=due,
        )
        if claim == "child_safety":
            self._log.hold(complainant, "child_safety", actor="system")
        return Notice(case_id=case_id, complainant=complainant, clock=clock, due_ts=due)

    def overdue(self, now: int) -> list[Case]:
        """Notices whose clock has run out and that nobody has decided, the longest overdue first."""
        late = [
            case
            for case in self._book.list("waiting", limit=10_000)
            if case.kind.startswith("notice.") and case.due_ts is not None and case.due_ts <= now
        ]
        return sorted(late, key=lambda case: case.due_ts or 0)

    def answer(self, case_id: str, *, actor: str, text: str) -> int:
        """Record what the complainant was told about a decided notice; returns the event's place."""
        case = self._book.show(case_id)
        if not case.action:
            raise Conflict("The notice is not decided yet; decide it before answering.")
        event = Event(
            kind="notice.answered",
            actor=actor,
            subject=case_id,
            body={"action": case.action, "about": case.subject},
            payload=_safe(text).encode(),
            owner=case.owner,
        )
        return self._log.append([event])[0].seq


def statement_of_reasons(
    case: Case,
    *,
    visibility: Sequence[str],
    category: str,
    ground: str,
    explanation: str,
    facts: str,
    territories: Sequence[str],
    automated_detection: bool,
    automated_decision: str = "AUTOMATED_DECISION_NOT_AUTOMATED",
    content_types: Sequence[str] = ("CONTENT_TYPE_VIDEO", "CONTENT_TYPE_SYNTHETIC_MEDIA"),
) -> dict[str, Any]:
    """The decision in ``case`` in the form of the DSA transparency database (API version 2).

    The form takes no personal data: give texts without names. Raises ``EntryInvalid`` where a text is
    longer than the form allows, ``Conflict`` when nothing was decided.
    """
    if not case.decisions or not case.action:
        raise Conflict("There is no decision to give reasons for.")
    for name, value, most in (
        ("ground", ground, 500),
        ("explanation", explanation, 2000),
        ("facts", facts, 5000),
    ):
        if not 1 <= len(value) <= most:
            raise EntryInvalid(f"The {name} has 1 to {most} characters in this form.")
    if not visibility:
        raise EntryInvalid("Name at least one restriction of visibility.")
    decided = case.decisions[-1]
    return {
        "puid": f"{case.case_id}-{decided.seq}",
        "decision_visibility": list(visibility),
        "decision_ground": "DECISION_GROUND_INCOMPATIBLE_CONTENT",
        "incompatible_content_ground": ground,
        "incompatible_content_explanation": explanation,
        "decision_facts": facts,
        "category": category,
        "content_type": list(content_types),
        "territorial_scope": list(territories),
        "application_date": _day(decided.ts),
        "content_date": _day(case.opened_ts),
        "source_type": _source(case),
        "automated_detection": "Yes" if automated_detection else "No",
        "automated_decision": automated_decision,
    }


def _source(case: Case) -> str:
    if not case.kind.startswith("notice."):
        return "SOURCE_VOLUNTARY"
    return {
        "trusted_flagger": "SOURCE_TRUSTED_FLAGGER",
        "authority": "SOURCE_TYPE_OTHER_NOTIFICATION",
    }.get(str(case.summary.get("by")), "SOURCE_ARTICLE_16")


def _day(ts: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d")


def _safe(words: str) -> str:
    """Text that can be encoded: lone surrogates replaced, never refused."""
    return words.encode("utf-8", "replace").decode()
