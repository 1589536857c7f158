"""What a reviewer sees of a case: words or film, every check, the rules, what happened so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from guarded_sora.audit.case import Case
from guarded_sora.audit.entry import Entry
from guarded_sora.errors import MediaError, UsageError
from guarded_sora.handoff import KIND as CHILD_SAFETY
from guarded_sora.handoff import handed_off
from guarded_sora.notices import COPIES, is_notice
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.recovery import default_place
from guarded_sora.server.previews import Sheet, spritesheet
from guarded_sora.server.state import Server

LONGEST_SHOWN = 20_000  # characters of a prompt on the page; the rest is counted, not shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A stretch of the prompt; ``category`` names the finding that points at it, or is empty."""

    text: str
    category: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """``shown`` tells whether what the case is about may be shown to this person now."""

    shown: bool
    erased: bool
    prompt: tuple[Part, ...]
    unseen: int
    notice: Mapping[str, str]
    copies: tuple[Mapping[str, Any], ...]
    statement: str
    sheet: Sheet | None
    film: bool
    clip_id: str
    outcome: Entry | None
    checks: tuple[Mapping[str, Any], ...]
    findings: tuple[Mapping[str, Any], ...]
    rules: tuple[Mapping[str, str], ...]
    history: tuple[Entry, ...]


def gather(server: Server, case: Case, *, viewer: str | None) -> Evidence:
    """Everything about ``case``. With ``viewer`` the look is logged before anything is decrypted."""
    services = server.services
    intent, clip_id = _origin(server, case)
    outcome = None
    if intent:
        held = services.log.search(kind="request.held", subject=intent, limit=10)
        outcome = next((entry for entry in held if entry.body.get("case_id") == case.case_id), None)
    body: Mapping[str, Any] = outcome.body if outcome is not None else {}
    if viewer and handed_off(services, case.case_id):
        viewer = None  # sealed for an authority: nobody here looks at it again
    data = services.cases.payload(case.case_id, viewer=viewer, reason="review") if viewer else None
    document = orjson.loads(data) if data else {}
    text = str(document.get("request", {}).get("prompt", "")) if case.kind == "prompt" else ""
    if not text and case.kind == "film" and viewer and intent:
        text = _words_of(server, intent)
    history = services.log.search(subject=case.case_id, limit=200)
    return Evidence(
        shown=viewer is not None,
        erased=viewer is not None and data is None,
        prompt=parts(text[:LONGEST_SHOWN], body.get("findings", ())),
        unseen=max(0, len(text) - LONGEST_SHOWN),
        notice=_notice(case, document),
        copies=_copies(server, case) if viewer else (),
        statement=_statement(server, case) if viewer else "",
        sheet=_sheet(server, case) if viewer else None,
        film=held_film(server, case).is_file(),
        clip_id=clip_id,
        outcome=outcome,
        checks=tuple(_worst_first(body.get("checks", ()))),
        findings=tuple(body.get("findings", ())),
        rules=tuple(_rules(server, case)),
        history=tuple(history),
    )


def _notice(case: Case, document: Mapping[str, Any]) -> Mapping[str, str]:
    """What a complaint says, and by which clock; empty for other cases, and when nobody may look."""
    if not is_notice(case) or not document:
        return {}
    told = {name: str(document.get(name) or "") for name in ("statement", "contact", "link")}
    summary = case.summary
    return {
        **told,
        "claim": case.kind.removeprefix("notice."),
        "by": str(summary.get("by", "")),
        "clock": f"{summary.get('clock', '')}, {summary.get('hours', '')} hours",
    }


def _copies(server: Server, case: Case) -> tuple[Mapping[str, Any], ...]:
    """The copies that the newest search found."""
    if not is_notice(case):
        return ()
    found = server.services.log.search(kind=COPIES, subject=case.case_id, limit=1000)
    return tuple(found[-1].body["copies"]) if found else ()


def parts(text: str, findings: Sequence[Mapping[str, Any]]) -> tuple[Part, ...]:
    """``text`` cut at the spans that findings point to; overlapping spans become one."""
    spans = []
    for finding in findings:
        where = finding.get("where") or {}
        if finding.get("modality") == "prompt" and "start" in where and "end" in where:
            start, end = max(0, int(where["start"])), min(len(text), int(where["end"]))
            if start < end:
                spans.append((start, end, str(finding["category"])))
    cut: list[Part] = []
    at = 0
    for start, end, category in sorted(spans):
        if end <= at:
            continue
        start = max(start, at)
        if at < start:
            cut.append(Part(text=text[at:start]))
        cut.append(Part(text=text[start:end], category=category))
        at = end
    if at < len(text):
        cut.append(Part(text=text[at:]))
    return tuple(cut)


def held_film(server: Server, case: Case) -> Path:
    """Where the film of a case waits, or lies, for a notice about a clip of ours."""
    held = server.services.settings.held / f"{case.case_id}.mp4"
    if is_notice(case) and not held.is_file():
        with suppress(UsageError):
            return default_place(server.services, ClipId.parse(case.subject))
    return held


def _origin(server: Server, case: Case) -> tuple[str, str]:
    """``(intent id, clip id)`` of what a case is about; empty where there is none."""
    if case.kind == "prompt":
        return case.subject, ""
    try:
        record = server.services.store.by_id(ClipId.parse(case.subject))
    except UsageError:
        return "", ""
    return (record.intent_id if record else ""), case.subject


def _words_of(server: Server, intent: str) -> str:
    """The prompt of a film; the look at the case that was logged covers it."""
    entries = server.services.log.search(subject=intent, kind="request.intent", limit=1)
    data = server.services.log.payload(entries[0].seq) if entries else None
    return data.decode("utf-8", "replace") if data else ""


def _statement(server: Server, case: Case) -> str:
    """What the person concerned says in an appeal."""
    if case.appeal_seq is None:
        return ""
    data = server.services.log.payload(case.appeal_seq)
    return data.decode("utf-8", "replace") if data else ""


def _sheet(server: Server, case: Case) -> Sheet | None:
    film = held_film(server, case)
    # A film that may show a crime against a child is judged by what is known of it, not by looking.
    if case.kind == CHILD_SAFETY or not film.is_file():
        return None
    try:
        return spritesheet(server.services, film)
    except MediaError:
        return None


def _rules(server: Server, case: Case) -> list[Mapping[str, str]]:
    """The rules behind the case, with the text of the pack in force."""
    found: list[Mapping[str, str]] = []
    pack = server.services.policy.pack
    current = case.summary.get("pack_digest") == pack.digest
    for slug in case.summary.get("rules", ()):
        try:
            rule = pack.rule(str(slug))
        except KeyError:
            found.append({"id": str(slug), "title": "", "text": "This rule is not in the pack any more."})
            continue
        note = "" if current else " (as the pack words it now)"
        found.append({"id": rule.slug, "title": rule.title, "text": rule.text_for("en") + note})
    return found


def _worst_first(checks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    order = {"failed": 0, "ran": 1, "unavailable": 2}
    return sorted(checks, key=lambda check: (order.get(str(check["state"]), 3), str(check["name"])))
