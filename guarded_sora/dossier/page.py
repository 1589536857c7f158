"""The plain-language page of a dossier: one HTML file, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import orjson

from guarded_sora.audit.checkpoint import Checkpoint
from guarded_sora.audit.entry import Entry
from guarded_sora.dossier.contents import Contents
from guarded_sora.services import Services

MOST_ROWS = 2_000
_LONGEST_WORDS = 4_000

_SAID: Mapping[str, str] = {
    "request.intent": "A film was asked for. The words are kept encrypted; here stands only a commitment.",
    "request.decided": "The words were checked and decided: {action}.",
    "request.released": "The film was checked, marked, signed and released as {clip_id}.",
    "request.blocked": "The request was refused: {rules}.",
    "request.held": "A person had to look first; it waited as case {case_id}.",
    "request.failed": "Nothing came of the request: the stage {stage} failed.",
    "release.undone": "The release was undone.",
    "clip.verified": "A file was examined: {verdict} ({reason}).",
    "case.opened": "A case was opened: {kind}.",
    "case.claimed": "A reviewer took the case.",
    "case.returned": "A reviewer gave the case back.",
    "case.escalated": "A second opinion was asked for.",
    "case.decided": "A reviewer decided: {action}. Reason: {reason_code}.",
    "case.dropped": "The case ended: {reason_code}.",
    "case.appealed": "Somebody appealed.",
    "case.appeal_decided": "Another reviewer answered the appeal: {outcome}; now in force: {action}.",
    "case.released": "What waited was to be released.",
    "case.release_failed": "The release did not happen.",
    "case.reasons": "A statement of reasons was written.",
    "case.handed_off": "The case was handed to an authority, sealed.",
    "notice.copies": "Copies were looked for: {total} found, {examined} films examined.",
    "notice.taking_down": "The film and its copies were about to be taken down.",
    "notice.taken_down": "The film was taken down, and {stay_down} films are refused from then on.",
    "notice.let_back": "What had been taken down was let back.",
    "notice.answered": "The complainant was answered.",
    "stay_down.refused": "Somebody brought the film back; it was refused, known by its {by}.",
    "strike.given": "A strike was given.",
    "strike.removed": "A strike was taken back.",
    "appeal.won": "The appeal counts for whoever made it.",
    "payload.viewed": "Somebody looked at the words.",
    "payload.erased": "A person's data was erased.",
    "dossier.made": "A dossier was made.",
}

_STYLE = (Path(__file__).parent / "page.css").read_text()


def write_page(
    services: Services,
    found: Contents,
    role: str,
    checkpoint: Checkpoint,
    *,
    payloads: Mapping[str, Mapping[str, str]],
    policies: Sequence[str],
) -> str:
    """The page as text. Whatever came from outside is escaped."""
    about = f"{found.about.kind} {found.about.id}"
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width,initial-scale=1">',
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>Dossier: {escape(about)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Dossier: {escape(about)}</h1>",
        f"<p class=faint>Made for: {escape(role)}. It tells what this installation recorded, in the order "
        "in which it happened. Names stand as pseudonyms.</p>",
        *_facts(services, found, checkpoint),
        *_decision(services, found),
        *_story(found.entries, payloads),
        *_checks(found.entries),
        *_policy(policies, found),
        *_how(found),
        "</body></html>",
    ]
    return "\n".join(parts)


def _facts(services: Services, found: Contents, checkpoint: Checkpoint) -> Iterable[str]:
    facts = [
        ("Log", services.log.origin),
        ("Entries here", f"{len(found.entries):,}"),
        ("Left out for this reader", f"{found.withheld:,}"),
        ("Size of the log", f"{checkpoint.size:,} entries"),
        ("Root of the log", base64.b64encode(checkpoint.root).decode()),
    ]
    for clip_id in found.clips:
        record = services.store.by_id(clip_id)
        if record is not None:
            facts.append((f"Clip {clip_id}", f"{record.state.value}, SHA-256 {record.file_sha256 or 'none'}"))
    yield "<h2>In short</h2><dl>"
    for name, value in facts:
        yield f"<dt>{escape(name)}</dt><dd><code>{escape(value)}</code></dd>"
    yield "</dl>"


def _decision(services: Services, found: Contents) -> Iterable[str]:
    if found.about.kind == "period":
        counts = Counter(entry.kind for entry in found.entries)
        yield "<h2>What happened, counted</h2><table><tr><th>Event<th class=number>Times</tr>"
        for kind, count in sorted(counts.items()):
            yield f"<tr><td><code>{escape(kind)}</code><td class=number>{count:,}</tr>"
        yield "</table>"
        return
    for case in found.cases:
        yield f"<h2>Case {escape(case.case_id)}</h2><dl>"
        for name, value in (
            ("Kind", case.kind),
            ("About", case.subject),
            ("State", case.state),
            ("In force", case.action or "no decision yet"),
            ("Opened", _time(case.opened_ts)),
            ("Due", _time(case.due_ts) if case.due_ts else "no clock"),
            ("Appeal", case.appeal_outcome or "none"),
        ):
            yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        for decision in case.decisions:
            said = f"{decision.action}, reason {decision.reason_code}, {_time(decision.ts)}, rules: "
            said += ", ".join(decision.rules) or "none cited"
            yield f"<dt>Decided ({escape(decision.stage)})</dt><dd>{escape(said)}</dd>"
        yield "</dl>"


def _story(entries: Sequence[Entry], payloads: Mapping[str, Mapping[str, str]]) -> Iterable[str]:
    yield "<h2>The story</h2><table><tr><th>When (UTC)<th>What<th class=number>Entry</tr>"
    for entry in entries[:MOST_ROWS]:
        what = escape(_sentence(entry))
        if str(entry.seq) in payloads:
            what += f"<pre><bdi>{escape(_words(payloads[str(entry.seq)]))}</bdi></pre>"
        yield f"<tr><td>{_time(entry.ts)}<td>{what}<td class=number>{entry.seq}</tr>"
    yield "</table>"
    if len(entries) > MOST_ROWS:
        yield f"<p class=faint>{len(entries) - MOST_ROWS:,} more stand in entries.jsonl.</p>"


def _checks(entries: Sequence[Entry]) -> Iterable[str]:
    rows = [
        (entry, check)
        for entry in entries[:MOST_ROWS]
        if entry.kind in ("request.released", "request.held", "request.blocked", "request.failed")
        for check in entry.body.get("checks", ())
    ][:MOST_ROWS]
    if not rows:
        return
    yield "<h2>Checks that ran</h2><table><tr><th>Check<th>State<th>Result"
    yield "<th class=number>Score<th class=number>Threshold<th class=number>Entry</tr>"
    for entry, check in rows:
        cells = (
            f"{check['name']} {check['version']}",
            str(check["state"]),
            str(check["result"] or check["reason"] or "nothing found"),
        )
        shown = "".join(f"<td>{escape(cell)}" for cell in cells)
        numbers = "".join(
            f"<td class=number>{_share(check[name])}" for name in ("score_ppm", "threshold_ppm")
        )
        yield f"<tr>{shown}{numbers}<td class=number>{entry.seq}</tr>"
    yield "</table>"


def _policy(policies: Sequence[str], found: Contents) -> Iterable[str]:
    fired = {
        (str(rule["id"]), str(rule["reason"]), str(rule["action"]))
        for entry in found.entries
        for rule in entry.body.get("rules", ())
        if isinstance(rule, Mapping) and {"id", "reason", "action"} <= set(rule)
    }
    yield "<h2>Rules</h2>"
    if fired:
        yield "<table><tr><th>Rule<th>Reason code<th>Asks for</tr>"
        for row in sorted(fired)[:MOST_ROWS]:
            yield "<tr>" + "".join(f"<td>{escape(cell)}" for cell in row) + "</tr>"
        yield "</table>"
    else:
        yield "<p>No rule fired.</p>"
    for digest in policies:
        yield f"<p>The policy text lies word for word under <code>policy/{escape(digest)}</code>.</p>"


def _how(found: Contents) -> Iterable[str]:
    yield "<h2>How to check this</h2>"
    yield "<p>Get the verification key of the log from somewhere else than this archive, then run:</p>"
    yield "<pre>python -m guarded_sora.audit.verifier DOSSIER.zip --key KEY</pre>"
    yield (
        "<p class=faint>The check needs no network and nothing of this installation. It shows that every "
        "entry stands in the signed log and that no file here was exchanged. It cannot show that something "
        "that never reached the log did not happen.</p>"
    )
    if found.sealed:
        yield "<p>A case of child safety: no words and no pictures leave it but by its sealed hand-off.</p>"


def _sentence(entry: Entry) -> str:
    form = _SAID.get(entry.kind)
    if form is None:
        return entry.kind
    values = {name: _plain(value) for name, value in entry.body.items()}
    return form.format_map(_Blank(values))


class _Blank(dict[str, str]):
    """Fields of a sentence; what an entry does not tell reads as a dash."""

    def __missing__(self, key: str) -> str:
        return "–"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        names = [str(item["id"]) if isinstance(item, dict) and "id" in item else str(item) for item in value]
        return ", ".join(names[:10]) or "none"
    return str(value)[:200]


def _words(item: Mapping[str, str]) -> str:
    text = base64.b64decode(item["payload"]).decode("utf-8", "replace")
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text[:_LONGEST_WORDS]
    if not isinstance(document, dict):
        return text[:_LONGEST_WORDS]
    shown = {name: value for name, value in document.items() if name != "hashes" and value}
    return orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()[:_LONGEST_WORDS]


def _share(ppm: int | None) -> str:
    return "–" if ppm is None else f"{ppm / 1_000_000:.3f}"


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
