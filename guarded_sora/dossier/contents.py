"""What belongs to a clip, a case or a period, and what of it each role may see."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from guarded_sora.audit.case import Case
from guarded_sora.audit.entry import Entry
from guarded_sora.audit.errors import NotFound
from guarded_sora.errors import UsageError
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.services import Services

ROLES = ("regulator", "court", "complainant", "author", "public")
"""``regulator``: every entry and the policy text, nobody's words. ``court``: the words too, and each look
at them is logged. ``complainant`` and ``author``: their own words in what is about one notice or one
clip (never those of others who complained of it or asked for it), and nothing of how reviewers work.
``public``: nobody's words, and nothing of how reviewers work."""

MOST_ENTRIES = 50_000
_INNER = ("case.claimed", "case.returned", "payload.viewed")
_PERIOD_KINDS = ("request.*", "release.*", "case.*", "notice.*", "strike.*", "appeal.*", "stay_down.*")
_PERIOD_ALONE = ("payload.erased", "payload.erasure_refused", "payload.held", "consent.withdrawn")
_SEALED = "notice.child_safety"
_DAY = re.compile(r"\d{4}-\d{2}(-\d{2})?")
_MOST_PAGES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a dossier is about: ``kind`` is clip, case or period; ``start`` and ``end`` in milliseconds."""

    kind: str
    id: str
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """``entries`` in the order of the log; ``withheld`` were left out for the role; ``owners`` whose
    words the role may read, None for anybody's; ``sealed``: a child-safety case, whose words nobody may;
    ``closed``: in a period, the subjects of the entries that such a case seals."""

    about: About
    entries: tuple[Entry, ...]
    withheld: int
    owners: frozenset[str] | None
    cases: tuple[Case, ...] = ()
    clips: tuple[ClipId, ...] = ()
    sealed: bool = False
    closed: frozenset[str] = frozenset()


def parse_about(services: Services, text: str) -> About:
    """``gs1:...``, a case's id, ``2026-11``, ``2026-11-22`` or ``2026-11-01..2026-11-30`` (both included).

    Raises:
        UsageError: none of these, or no such clip or case.
    """
    text = text.strip()
    first, dots, last = text.partition("..")
    if _DAY.fullmatch(first) and (not dots or _DAY.fullmatch(last)):
        try:
            start, end = _span(first)[0], _span(last or first)[1]
        except ValueError as error:
            raise UsageError(f"{text[:40]} is no period; write 2026-11 or 2026-11-01..2026-11-30.") from error
        if start >= end:
            raise UsageError(f"The period {text[:40]} ends before it begins.")
        return About(kind="period", id=text, start=start, end=end)
    if text.startswith("gs1:"):
        clip_id = ClipId.parse(text)
        if services.store.by_id(clip_id) is None:
            raise UsageError(f"There is no clip {clip_id} in this store.")
        return About(kind="clip", id=str(clip_id))
    try:
        return About(kind="case", id=services.cases.show(text).case_id)
    except NotFound as error:
        raise UsageError(
            "A dossier is about a clip (gs1:...), a case's id, or a period such as 2026-11."
        ) from error


def gather(services: Services, about: About, role: str) -> Contents:
    """Everything about ``about``, as far as ``role`` may see it.

    Raises:
        UsageError: no such role, or more than ``MOST_ENTRIES`` entries.
        AuditError: the log could not be read.
    """
    if role not in ROLES:
        raise UsageError(f"A dossier is for one of: {', '.join(ROLES)}.")
    if about.kind == "period":
        cases: tuple[Case, ...] = ()
        clips: tuple[ClipId, ...] = ()
        found = _bounded(_of_period(services, about))
    else:
        cases, clips = _related(services, about)
        found = _bounded(_of_subjects(services, cases, clips))
    unique = {entry.seq: entry for entry in found}
    ordered = [unique[seq] for seq in sorted(unique)]
    shown = [entry for entry in ordered if role in ("regulator", "court") or entry.kind not in _INNER]
    return Contents(
        about=about,
        entries=tuple(shown),
        withheld=len(ordered) - len(shown),
        owners=_owners(services, role, about, cases),
        cases=cases,
        clips=clips,
        sealed=any(case.kind == _SEALED for case in cases),
        closed=_closed(services) if about.kind == "period" and role == "court" else frozenset(),
    )


def _owners(services: Services, role: str, about: About, cases: tuple[Case, ...]) -> frozenset[str] | None:
    """Whose words the role may read. The complainant and the author are one person each: whoever sent the
    notice, whoever asked for the clip. Where it could be several, it is nobody."""
    if role == "court":
        return None
    if about.kind == "period" or role not in ("complainant", "author"):
        return frozenset()
    own = [case for case in cases if case.case_id == about.id]
    if role == "complainant":
        notices = [case for case in own or cases if case.kind.startswith("notice.")]
        owners = frozenset(case.owner for case in notices)
        return owners if len(owners) == 1 else frozenset()
    subject = own[0].subject if own else about.id
    try:
        record = services.store.by_id(ClipId.parse(subject))
    except UsageError:
        intent = subject
    else:
        intent = record.intent_id if record is not None else ""
    entries = services.log.search(subject=intent, kind="request.intent", limit=1) if intent else []
    return frozenset(entry.actor for entry in entries)


def _closed(services: Services) -> frozenset[str]:
    """Subjects of every entry that tells of a child-safety case, its clips, or attempts to bring one back."""
    closed: set[str] = set()
    after: int | None = None
    while page := services.cases.list(kind=_SEALED, after=after, limit=1000):
        for case in page:
            cases, clips = _related(services, About(kind="case", id=case.case_id))
            closed |= {name for item in cases for name in (item.case_id, item.subject)}
            closed |= {str(clip_id) for clip_id in clips}
            records = [services.store.by_id(clip_id) for clip_id in clips]
            closed |= {record.intent_id for record in records if record is not None}
            for item in cases:
                for entries in _pages(services, subject=item.case_id, kind="stay_down.refused"):
                    closed |= {str(entry.body["intent"]) for entry in entries}
        after = page[-1].opened_seq
    return frozenset(closed)


def _related(services: Services, about: About) -> tuple[tuple[Case, ...], tuple[ClipId, ...]]:
    """The cases and clips that tell one story: a clip with its cases, a case with what it took down."""
    clips: dict[str, ClipId] = {}
    cases: dict[str, Case] = {}
    if about.kind == "clip":
        clips[about.id] = ClipId.parse(about.id)
    else:
        cases[about.id] = services.cases.show(about.id)
        for name in (cases[about.id].subject, *_taken_down(services, about.id)):
            try:
                clips[name] = ClipId.parse(name)
            except UsageError:
                continue
    for clip_id in tuple(clips.values()):
        record = services.store.by_id(clip_id)
        subjects = (str(clip_id), record.intent_id if record else "")
        for subject in filter(None, subjects):
            cases |= {case.case_id: case for case in services.cases.list(subject=subject, limit=1000)}
    return tuple(cases.values()), tuple(clips.values())


def _taken_down(services: Services, case_id: str) -> list[str]:
    entries = services.log.search(kind="notice.taken_down", subject=case_id, limit=1000)
    return [clip["clip_id"] for entry in entries for clip in entry.body["clips"]]


def _of_subjects(
    services: Services, cases: tuple[Case, ...], clips: tuple[ClipId, ...]
) -> Iterator[list[Entry]]:
    subjects = {str(clip_id) for clip_id in clips} | {case.case_id for case in cases}
    for clip_id in clips:
        record = services.store.by_id(clip_id)
        if record is not None:
            subjects.add(record.intent_id)
    # A case about words is about the intent's id; its looks are events about the case itself.
    subjects |= {case.subject for case in cases if case.kind == "prompt"}
    for subject in sorted(subjects):
        yield from _pages(services, subject=subject)
    people = {case.owner for case in cases}
    for intent in sorted(subjects):
        entries = services.log.search(subject=intent, kind="request.intent", limit=1)
        people |= {entry.actor for entry in entries}
    wanted = {case.case_id for case in cases}
    for person in sorted(people):
        for kind in ("strike.*", "appeal.won"):
            for page in _pages(services, subject=person, kind=kind):
                yield [entry for entry in page if entry.body.get("case") in wanted]
    # An attempt that a stay-down refused: the request it stopped belongs to the story.
    for case in cases:
        for entry in services.log.search(subject=case.case_id, kind="stay_down.refused", limit=1000):
            yield from _pages(services, subject=str(entry.body["intent"]))


def _of_period(services: Services, about: About) -> Iterator[list[Entry]]:
    for kind in (*_PERIOD_KINDS, *_PERIOD_ALONE):
        yield from _pages(services, kind=kind, since=about.start, until=about.end)


def _pages(
    services: Services,
    *,
    kind: str | None = None,
    subject: str | None = None,
    since: int | None = None,
    until: int | None = None,
) -> Iterator[list[Entry]]:
    after: int | None = None
    for _ in range(_MOST_PAGES):
        page = services.log.search(
            kind=kind, subject=subject, since=since, until=until, after=after, limit=1000
        )
        if not page:
            return
        yield page
        after = page[-1].seq


def _bounded(pages: Iterable[list[Entry]]) -> list[Entry]:
    found: list[Entry] = []
    for page in pages:
        found += page
        if len(found) > MOST_ENTRIES:
            raise UsageError(f"There are more than {MOST_ENTRIES:,} entries; ask for a shorter period.")
    return found


def _span(text: str) -> tuple[int, int]:
    """First and one past the last millisecond of a day or a month. Raises ``ValueError``."""
    if len(text) == 7:
        start = datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC)
        end = (start + timedelta(days=32)).replace(day=1)
    else:
        start = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        end = start + timedelta(days=1)
    return int(start.timestamp() * 1000), int(end.timestamp() * 1000)
