"""A case as its events tell it: what is kept, and what each event changes.

A case waits in ``open``. A decision takes it to ``decided``; where the case is critical the first
one only takes it to ``second``, and two that differ take it to ``disputed``, where a third person
decides. A reviewer who is not sure makes any open case critical. An appeal takes it to ``appealed``,
and the answer to the appeal to ``closed``; so does the end of what the case was about (``dropped``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

import orjson

from guarded_sora.audit.entry import Entry

OPEN = "open"
SECOND = "second"
DISPUTED = "disputed"
DECIDED = "decided"
APPEALED = "appealed"
CLOSED = "closed"
DROPPED = "dropped"
"""The action of a case that ended without a decision: what it was about is gone."""
WAITING = (OPEN, SECOND, DISPUTED, APPEALED)
"""States in which a reviewer has something to do."""
STATES = (*WAITING, DECIDED, CLOSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDecision:
    """One reviewer's decision. ``seq`` is its event, which also carries the note, encrypted.

    ``stage``: the state the case was in when it was made. ``rules``: the policy rules cited.
    """

    seq: int
    ts: int
    stage: str
    action: str
    reviewer: str
    reason_code: str
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``subject``: what the case is about. ``owner``: whose personal data it carries. ``action``: the
    decision in force, or empty. Times are milliseconds since 1970; ``due_ts`` is None without a clock."""

    case_id: str
    kind: str
    subject: str
    owner: str
    state: str
    opened_seq: int
    opened_ts: int
    changed_seq: int
    critical: bool = False
    due_ts: int | None = None
    holder: str | None = None
    held_until: int | None = None
    action: str = ""
    appeal_seq: int | None = None
    appeal_outcome: str = ""
    summary: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    decisions: tuple[CaseDecision, ...] = ()

    def held_at(self, now: int) -> bool:
        """Whether a reviewer holds the case at ``now``."""
        return self.holder is not None and self.held_until is not None and self.held_until > now

    def reviewers(self) -> frozenset[str]:
        """Who has decided on this case already, and so may not be its second or third opinion."""
        return frozenset(decision.reviewer for decision in self.decisions)


def opened(entry: Entry) -> Case:
    """The case that a ``case.opened`` event begins; its id is the event's."""
    body = entry.body
    return Case(
        case_id=entry.subject,
        kind=body["kind"],
        subject=body["about"],
        owner=body["owner"],
        state=OPEN,
        opened_seq=entry.seq,
        opened_ts=entry.ts,
        changed_seq=entry.seq,
        critical=body["critical"],
        due_ts=body["due_ts"],
        summary=MappingProxyType(body["summary"]),
    )


def apply(case: Case, entry: Entry) -> Case:
    """``case`` after ``entry``. Pure: the same events always give the same case."""
    change = _CHANGES.get(entry.kind)
    after = case if change is None else change(case, entry)
    return replace(after, changed_seq=entry.seq)


def _claimed(case: Case, entry: Entry) -> Case:
    return replace(case, holder=entry.actor, held_until=entry.body["until"])


def _returned(case: Case, _entry: Entry) -> Case:
    return replace(case, holder=None, held_until=None)


def _decided(case: Case, entry: Entry) -> Case:
    body = entry.body
    decision = CaseDecision(
        seq=entry.seq,
        ts=entry.ts,
        stage=case.state,
        action=body["action"],
        reviewer=entry.actor,
        reason_code=body["reason_code"],
        rules=tuple(body["rules"]),
    )
    state, action = DECIDED, decision.action
    if case.critical and case.state == OPEN:
        state, action = SECOND, ""
    elif case.state == SECOND and case.decisions[-1].action != decision.action:
        state, action = DISPUTED, ""
    return replace(
        case,
        state=state,
        action=action,
        decisions=(*case.decisions, decision),
        holder=None,
        held_until=None,
    )


def _escalated(case: Case, _entry: Entry) -> Case:
    return replace(case, critical=True, holder=None, held_until=None)


def _dropped(case: Case, _entry: Entry) -> Case:
    return replace(case, state=CLOSED, action=DROPPED, holder=None, held_until=None)


def _appealed(case: Case, entry: Entry) -> Case:
    return replace(
        case, state=APPEALED, appeal_seq=entry.seq, due_ts=entry.body["due_ts"], holder=None, held_until=None
    )


def _appeal_decided(case: Case, entry: Entry) -> Case:
    body = entry.body
    decision = CaseDecision(
        seq=entry.seq,
        ts=entry.ts,
        stage=APPEALED,
        action=body["action"],
        reviewer=entry.actor,
        reason_code=body["reason_code"],
    )
    return replace(
        case,
        state=CLOSED,
        action=decision.action,
        appeal_outcome=body["outcome"],
        decisions=(*case.decisions, decision),
        holder=None,
        held_until=None,
    )


_CHANGES = {
    "case.claimed": _claimed,
    "case.returned": _returned,
    "case.decided": _decided,
    "case.escalated": _escalated,
    "case.dropped": _dropped,
    "case.appealed": _appealed,
    "case.appeal_decided": _appeal_decided,
}


def to_record(case: Case) -> bytes:
    """The case as the projection table keeps it."""
    values = {name: getattr(case, name) for name in _RECORD}
    values["summary"] = dict(case.summary)
    values["decisions"] = [asdict(decision) for decision in case.decisions]
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS)


_RECORD = ("owner", "critical", "action", "appeal_seq", "appeal_outcome")


def from_row(row: Any) -> Case:
    """The case in a row of the projection table."""
    record = orjson.loads(row.record)
    decisions = tuple(
        CaseDecision(**{**item, "rules": tuple(item["rules"])}) for item in record.pop("decisions")
    )
    return Case(
        case_id=row.case_id,
        kind=row.kind,
        subject=row.subject,
        state=row.state,
        opened_seq=row.opened_seq,
        opened_ts=row.opened_ts,
        changed_seq=row.changed_seq,
        due_ts=row.due_ts,
        holder=row.holder,
        held_until=row.held_until,
        summary=MappingProxyType(record.pop("summary")),
        decisions=decisions,
        **record,
    )
