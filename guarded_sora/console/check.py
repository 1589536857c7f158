"""``/check``: drop a clip, get one sentence, the evidence, and what it does not mean.

Shown is what is known of the *system* that made or changed a clip (which generator, which signer
class, whose mark), never data about the person who did. The clip is deleted with the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from guarded_sora.console.language import language_of, languages
from guarded_sora.console.render import is_fragment, page
from guarded_sora.console.session import same_origin
from guarded_sora.errors import UsageError
from guarded_sora.provenance.conformance.check import LAWS
from guarded_sora.server.problems import Problem
from guarded_sora.server.state import Here
from guarded_sora.server.verify import examine
from guarded_sora.verification import Evidence, Verdict

router = APIRouter()
_CHECKS_AN_HOUR = 60
_RAISED = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
_ORDER = (
    "credentials", "metadata", "watermark", "fingerprint", "registry", "audit", "detector", "media",
)  # fmt: skip

TONES = {
    "ours_intact": "good",
    "signed_elsewhere": "plain",
    "no_evidence": "plain",
    "inconclusive": "open",
    "declared_synthetic": "open",
    "likely_synthetic": "open",
    "ours_altered": "bad",
    "tampered": "bad",
    "unreadable": "plain",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One leg of the evidence in words. ``facts`` are (name, value) pairs."""

    kind: str
    title: str
    said: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One clause of a law and what was found for it."""

    id: str
    title: str
    state: str
    evidence: str


@router.get("/check")
def check_page(request: Request, server: Here) -> Response:
    """The form."""
    return _page(request, server.options.upload_mib)


@router.post("/check")
async def check(request: Request, server: Here) -> Response:
    """The answer, as a page or as a part of it."""
    same_origin(request)
    try:
        server.brake("check", request, an_hour=_CHECKS_AN_HOUR)
        verdict = await examine(request, server, "full", None)
    except UsageError:  # a law that is not one of ours: nobody's form sends that
        words = languages()[language_of(request)]
        return _page(request, server.options.upload_mib, problem=words["problem.400"], status=400)
    except Problem as problem:
        if problem.status not in (400, 413, 415, 429, 503):
            raise
        words = languages()[language_of(request)]
        said = words.get(f"problem.{problem.status}", words["problem.400"])
        return _page(request, server.options.upload_mib, problem=said, status=problem.status)
    return _page(request, server.options.upload_mib, verdict=verdict)


def _page(
    request: Request, mib: int, *, verdict: Verdict | None = None, problem: str = "", status: int = 200
) -> Response:
    language = language_of(request)
    words = languages()[language]
    values: dict[str, Any] = {
        "language": language,
        "languages": {code: own["language"] for code, own in languages().items()},
        "w": words,
        "mib": mib,
        "verdict": verdict,
        "problem": problem,
        "tone": TONES[verdict.verdict.value] if verdict else "plain",
        "lines": [],
        "asked": [],
        "laws": list(LAWS),
        "clauses": [],
    }
    if verdict is not None:
        ordered = sorted(verdict.evidence, key=lambda item: (*_ORDER, item.kind).index(item.kind))
        found = (_line(item, words) for item in ordered)
        values["lines"] = [line for line in found if line is not None]
        values["clauses"] = _clauses(verdict)
        values["asked"] = list(verdict.rules)
    fragment = is_fragment(request)
    # htmx swaps nothing on an error status, and a problem must be seen.
    return page(
        request, "answer.html" if fragment else "check.html", status=200 if fragment else status, **values
    )


def _line(item: Evidence, words: dict[str, str] | Any) -> Line | None:
    said = words.get(f"{item.kind}.{item.state}")
    if said is None:
        said = words.get(f"{item.kind}.*")
    if said is None:
        return None
    return Line(
        kind=item.kind,
        title=words.get(f"kind.{item.kind}", item.kind),
        said=said,
        facts=tuple((words.get(f"fact.{name}", name), str(value)) for name, value in _facts(item)),
    )


def _facts(item: Evidence) -> list[tuple[str, object]]:
    """The few details that concern the system, by an explicit list: nothing else can slip through."""
    shown = {
        "credentials": ("generator", "source_type", "clip_id"),
        "metadata": ("source_type",),
        "watermark": ("log10_p",),
        "fingerprint": (),
        "media": ("width", "height", "seconds"),
    }.get(item.kind, ())
    found = [(name, item.detail[name]) for name in shown if item.detail.get(name) not in (None, "", [])]
    return [(name, _spoken(name, value)) for name, value in found]


def _spoken(name: str, value: object) -> object:
    """A fact as people read it."""
    if name == "log10_p" and isinstance(value, int | float):
        return f"10{f'{value:.0f}'.translate(_RAISED)}"
    if name == "source_type":
        # The vocabulary's address is for machines; its last word is the type.
        return str(value).rstrip("/").rpartition("/")[2]
    return value


def _clauses(verdict: Verdict) -> list[tuple[str, list[Clause]]]:
    """The table asked for: each law with what was found for its clauses."""
    return [
        (
            law,
            [
                Clause(
                    id=name,
                    title=str(result["title"]),
                    state=str(result["state"]),
                    evidence=str(result["evidence"]),
                )
                for name, result in clauses.items()
            ],
        )
        for law, clauses in verdict.rules.items()
    ]
