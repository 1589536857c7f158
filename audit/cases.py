"""The review queue. Every change is an event of the log; the ``cases`` table only repeats them.

Two people never get the same case: it is claimed under the log's own lock, for a limited time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from guarded_sora.audit import case as states
from guarded_sora.audit import search
from guarded_sora.audit.case import Case
from guarded_sora.audit.connections import reading
from guarded_sora.audit.entry import Event, uuid7
from guarded_sora.audit.errors import Conflict, EntryInvalid, NotFound
from guarded_sora.audit.log import AuditLog
from guarded_sora.audit.tables import cases
from guarded_sora.audit.writer import Transaction

LEASE_SECONDS = 1800

_SLUG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class CaseBook:
    """Opens, hands out and closes cases in ``log``."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    def open(
        self,
        kind: str,
        subject: str,
        summary: Mapping[str, Any],
        payload: bytes | None = None,
        *,
        actor: str = "system",
        owner: str | None = None,
        critical: bool = False,
        due_ts: int | None = None,
        case_id: str | None = None,
    ) -> str:
        """Open a case about ``subject`` and return its id.

        ``summary``: integers and short text, never personal data. ``payload``: what the reviewer
        must see, kept encrypted under the key of ``owner`` (default: the subject). ``critical``:
        two people must decide. Opening with the same ``case_id`` again changes nothing.
        """
        identity = case_id or uuid7()
        event = Event(
            kind="case.opened",
            actor=actor,
            subject=identity,
            id=identity,
            payload=payload,
            owner=owner or subject,
            body={
                "kind": _slug("kind", kind),
                "about": subject,
                "owner": owner or subject,
                "critical": critical,
                "due_ts": due_ts,
                "summary": dict(summary),
            },
        )
        with self._log.transaction() as tx:
            if not self._exists(tx.connection, identity):
                self._record(tx, event)
            else:
                tx.append([event])
        return identity

    def list(
        self,
        state: str | None = None,
        *,
        kind: str | None = None,
        subject: str | None = None,
        owner: str | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[Case]:
        """Cases, oldest first. ``state``: one of :data:`~guarded_sora.audit.case.STATES`, or
        ``waiting`` for all a reviewer can act on. ``after``: ``opened_seq`` of the last one seen."""
        query = select(cases).order_by(cases.c.opened_seq)
        if state == "waiting":
            query = query.where(cases.c.state.in_(states.WAITING))
        elif state is not None:
            if state not in states.STATES:
                raise EntryInvalid(f"A case is in one of these states: waiting, {', '.join(states.STATES)}.")
            query = query.where(cases.c.state == state)
        if kind is not None:
            query = query.where(cases.c.kind == kind)
        if subject is not None:
            query = query.where(cases.c.subject == subject)
        if after is not None:
            query = query.where(cases.c.opened_seq > after)
        # The owner stands in the record alone: rows are read until enough of them are the owner's.
        query = query.limit(limit) if owner is None else query
        with reading(self._log.engine) as connection:
            found = (states.from_row(row) for row in connection.execute(query))
            return list(islice((case for case in found if owner in (None, case.owner)), limit))

    def show(self, case_id: str) -> Case:
        """One case. Raises ``NotFound``."""
        with reading(self._log.engine) as connection:
            return self._get(connection, case_id)

    def payload(self, case_id: str, *, viewer: str | None = None, reason: str = "") -> bytes | None:
        """What the reviewer must see; None when the case has none or it was erased.

        A person who looks is named as ``viewer``, and the look is logged before anything is shown.
        """
        seq = self.show(case_id).opened_seq
        if viewer is None:
            return self._log.payload(seq)
        return self._log.view(seq, viewer=viewer, reason=reason)

    def claim(
        self,
        reviewer: str,
        *,
        kind: str | None = None,
        case_id: str | None = None,
        lease_seconds: int = LEASE_SECONDS,
    ) -> Case | None:
        """Hand the oldest waiting case to ``reviewer`` for ``lease_seconds``; None when there is none.

        ``kind`` and ``case_id`` narrow what may be handed out.

        Nobody gets a case another person holds, or a second opinion on a decision of their own.
        """
        query = select(cases).where(cases.c.state.in_(states.WAITING)).order_by(cases.c.opened_seq)
        if kind is not None:
            query = query.where(cases.c.kind == kind)
        if case_id is not None:
            query = query.where(cases.c.case_id == case_id)
        with self._log.transaction() as tx:
            free = query.where(
                cases.c.holder.is_(None) | (cases.c.held_until <= tx.now) | (cases.c.holder == reviewer)
            )
            for row in tx.connection.execute(free):
                found = states.from_row(row)
                if reviewer not in found.reviewers():
                    body = {"until": tx.now + lease_seconds * 1000}
                    return self._step(tx, found, "case.claimed", reviewer, body)
        return None

    def give_back(self, case_id: str, *, reviewer: str, reason_code: str = "skipped") -> Case:
        """Return a claimed case undecided."""
        with self._log.transaction() as tx:
            found = self._get(tx.connection, case_id)
            if found.holder != reviewer:
                raise Conflict("This case is not claimed by this reviewer.")
            body = {"reason_code": _slug("reason code", reason_code)}
            return self._step(tx, found, "case.returned", reviewer, body)

    def escalate(self, case_id: str, *, reviewer: str, reason_code: str) -> Case:
        """Ask for a second opinion: from now on two people must decide. Raises ``Conflict``, ``NotFound``."""
        with self._log.transaction() as tx:
            found = self._get(tx.connection, case_id)
            if found.state != states.OPEN or found.critical:
                raise Conflict("Only an open case that one person could decide can be given to two.")
            if found.held_at(tx.now) and found.holder != reviewer:
                raise Conflict("Another reviewer holds this case; take the next one.")
            body = {"reason_code": _slug("reason code", reason_code)}
            return self._step(tx, found, "case.escalated", reviewer, body)

    def drop(self, case_id: str, *, actor: str, reason_code: str) -> Case:
        """End a case that is not closed because what it is about is gone, such as after an erasure."""
        with self._log.transaction() as tx:
            found = self._get(tx.connection, case_id)
            if found.state == states.CLOSED:
                raise Conflict("The case is closed already.")
            body = {"reason_code": _slug("reason code", reason_code)}
            return self._step(tx, found, "case.dropped", actor, body)

    def decide(
        self,
        case_id: str,
        action: str,
        *,
        reviewer: str,
        reason_code: str,
        note: str = "",
        rules: Sequence[str] = (),
    ) -> Case:
        """Decide a case. ``action``: a short word such as ``allow`` or ``block``; ``rules``: what is cited.

        The note is kept encrypted. The case that comes back tells in ``state`` whether the decision
        is in force or waits for a second opinion.

        Raises:
            Conflict: decided already, held by somebody else, or this reviewer has decided on it before.
            NotFound: no such case.
        """
        with self._log.transaction() as tx:
            found = self._get(tx.connection, case_id)
            if found.state not in (states.OPEN, states.SECOND, states.DISPUTED):
                raise Conflict(f"The case is {found.state}; it takes no decision now.")
            self._check_free(found, reviewer, tx.now)
            body = {
                "action": _slug("action", action),
                "reason_code": _slug("reason code", reason_code),
                "rules": list(rules),
            }
            return self._step(tx, found, "case.decided", reviewer, body, note)

    def appeal(self, case_id: str, *, by: str, statement: str = "", due_ts: int | None = None) -> Case:
        """The person concerned asks for another look, once. The statement is kept encrypted."""
        with self._log.transaction() as tx:
            found = self._get(tx.connection, case_id)
            if found.state != states.DECIDED:
                raise Conflict(f"The case is {found.state}; only a decided case can be appealed, once.")
            return self._step(tx, found, "case.appealed", by, {"due_ts": due_ts}, statement)

    def decide_appeal(
        self,
        case_id: str,
        outcome: str,
        *,
        reviewer: str,
        reason_code: str,
        action: str | None = None,
        note: str = "",
    ) -> Case:
        """``uphold`` the decision or ``overturn`` it to ``action``; by somebody who did not make it.

        Overturning takes back the strikes the case gave, and counts for whoever appealed.
        """
        if outcome not in ("uphold", "overturn"):
            raise EntryInvalid("An appeal ends with uphold or overturn.")
        if (action is None) == (outcome == "overturn"):
            raise EntryInvalid("Overturning needs the action that now holds; upholding takes none.")
        with self._log.transaction() as tx:
            found = self._get(tx.connection, case_id)
            if found.state != states.APPEALED:
                raise Conflict(f"The case is {found.state}; there is no appeal to decide.")
            self._check_free(found, reviewer, tx.now)
            body = {
                "outcome": outcome,
                "action": found.action if action is None else _slug("action", action),
                "reason_code": _slug("reason code", reason_code),
            }
            after = self._step(tx, found, "case.appeal_decided", reviewer, body, note)
            if outcome == "overturn":
                self._remove_strikes(tx, found, reviewer)
                who = search.read(tx.connection, found.appeal_seq or 0).actor
                tx.append([Event(kind="appeal.won", actor=reviewer, subject=who, body={"case": case_id})])
            return after

    def appeals_won(self, who: str) -> int:
        """How many appeals of ``who`` overturned a decision."""
        return self._log.count("appeal.won", subject=who)

    def strike(self, case_id: str, who: str, *, reviewer: str, reason_code: str) -> int:
        """Record a strike against ``who`` for a decided case; returns how many stand against them."""
        with self._log.transaction() as tx:
            found = self._get(tx.connection, case_id)
            if found.state not in (states.DECIDED, states.CLOSED):
                raise Conflict("Only a decided case can give a strike.")
            body = {"case": case_id, "reason_code": _slug("reason code", reason_code)}
            tx.append([Event(kind="strike.given", actor=reviewer, subject=who, body=body)])
        return self.strikes(who)

    def strikes(self, who: str) -> int:
        """How many strikes stand against ``who``: given and not taken back."""
        given = self._log.count("strike.given", subject=who)
        return given - self._log.count("strike.removed", subject=who)

    def rebuild(self) -> int:
        """Make the table anew from the log; returns how many cases there are."""
        with self._log.transaction() as tx:
            tx.connection.execute(delete(cases))
            found: dict[str, Case] = {}
            after: int | None = None
            while page := search.find(tx.connection, kind="case.*", after=after, limit=1000):
                for entry in page:
                    if entry.kind == "case.opened":
                        found[entry.subject] = states.opened(entry)
                    elif entry.subject in found:
                        found[entry.subject] = states.apply(found[entry.subject], entry)
                after = page[-1].seq
            for case in found.values():
                tx.connection.execute(insert(cases).values(_row(case)))
        return len(found)

    def _check_free(self, case: Case, reviewer: str, now: int) -> None:
        if case.held_at(now) and case.holder != reviewer:
            raise Conflict("Another reviewer holds this case; take the next one.")
        if reviewer in case.reviewers():
            raise Conflict("This reviewer has decided on the case before; another person must.")

    def _exists(self, connection: Connection, case_id: str) -> bool:
        return (
            connection.execute(select(cases.c.case_id).where(cases.c.case_id == case_id)).first() is not None
        )

    def _get(self, connection: Connection, case_id: str) -> Case:
        row = connection.execute(select(cases).where(cases.c.case_id == case_id)).first()
        if row is None:
            raise NotFound("There is no case with this id; 'guarded-sora cases list' shows those there are.")
        return states.from_row(row)

    def _step(
        self, tx: Transaction, case: Case, kind: str, actor: str, body: Mapping[str, Any], note: str = ""
    ) -> Case:
        event = Event(
            kind=kind,
            actor=actor,
            subject=case.case_id,
            body=body,
            payload=_encode(note) if note else None,
            owner=case.owner,
        )
        return self._record(tx, event, lambda entry: states.apply(case, entry))

    def _record(
        self,
        tx: Transaction,
        event: Event,
        change: Callable[[Any], Case] = states.opened,
    ) -> Case:
        (place,) = tx.append([event])
        after = change(search.read(tx.connection, place.seq))
        row = _row(after)
        if after.opened_seq == place.seq:
            tx.connection.execute(insert(cases).values(row))
        else:
            tx.connection.execute(update(cases).where(cases.c.case_id == after.case_id).values(row))
        return after

    def _remove_strikes(self, tx: Transaction, case: Case, reviewer: str) -> None:
        after: int | None = None
        while page := search.find(tx.connection, kind="strike.given", after=after, limit=1000):
            tx.append(
                [
                    Event(
                        kind="strike.removed",
                        actor=reviewer,
                        subject=entry.subject,
                        body={"case": case.case_id, "given": entry.seq},
                    )
                    for entry in page
                    if entry.body["case"] == case.case_id
                ]
            )
            after = page[-1].seq


def _row(case: Case) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "kind": case.kind,
        "subject": case.subject,
        "state": case.state,
        "opened_seq": case.opened_seq,
        "opened_ts": case.opened_ts,
        "changed_seq": case.changed_seq,
        "due_ts": case.due_ts,
        "holder": case.holder,
        "held_until": case.held_until,
        "record": states.to_record(case),
    }


def _slug(what: str, value: str) -> str:
    if not isinstance(value, str) or not _SLUG.fullmatch(value):
        raise EntryInvalid(f"A case's {what} is one lower-case word of at most 64 characters.")
    return value


def _encode(note: str) -> bytes:
    # A note is shown again as text; what cannot be encoded is replaced, never refused.
    return note.encode("utf-8", "replace")
