"""Pages out of templates: escaping, safe headers, and text of strangers made inert.

Everything is escaped by the template engine. Names, prompts and statements of users also go through
``plain``, which makes control and direction characters visible, and stand in a ``bdi`` element.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

STATIC = Path(__file__).with_name("static")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_KEPT = {"\n", "\t", "\u200d"}  # the joiner holds family emoji and Indic letters together

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Elsewhere(Exception):
    """The answer is another page."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(url)


def elsewhere(request: Request, error: Exception) -> Response:
    """Send a browser to another page, also from inside a fragment."""
    assert isinstance(error, Elsewhere)
    if is_fragment(request):
        return Response(status_code=204, headers={"hx-redirect": error.url})
    return RedirectResponse(error.url, 303)


def page(
    request: Request,
    template: str,
    /,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """``template`` as an answer, with the headers every page has."""
    values.setdefault("path", request.url.path)
    values.setdefault("person", None)
    values.setdefault("token", "")
    values.setdefault("language", "en")
    values.setdefault("light", None)
    html = _environment.get_template(template).render(values)
    sent = {
        "content-security-policy": CSP,
        "cache-control": "no-store",
        # Without a referrer at all, browsers send "Origin: null" with our own forms.
        "referrer-policy": "same-origin",
        **(headers or {}),
    }
    return HTMLResponse(html, status, sent)


def wants_page(request: Request) -> bool:
    """Whether a problem at this address is read by a person in a browser."""
    path = request.url.path
    return path.startswith(("/console", "/check", "/notice")) and "text/html" in request.headers.get(
        "accept", ""
    )


def problem_page(request: Request, status: int, message: str) -> HTMLResponse:
    """A problem in words, with a way back."""
    return page(request, "problem.html", status=status, message=message)


def is_fragment(request: Request) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("hx-request") == "true"


def plain(text: object, longest: int = 2000) -> str:
    """``text`` with control, direction and unassigned characters made visible, and cut to a length."""
    shown = "".join(
        character
        if character in _KEPT or unicodedata.category(character)[0] != "C"
        else "\N{REPLACEMENT CHARACTER}"
        for character in str(text)[: longest + 1]
    )
    return shown if len(shown) <= longest else f"{shown[:longest]}\N{HORIZONTAL ELLIPSIS}"


def clock(milliseconds: int | None) -> str:
    """``2026-01-31 14:05:09`` in UTC."""
    if milliseconds is None:
        return "\N{EN DASH}"
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def ago(milliseconds: int, now: int) -> str:
    """How long ago, in one unit."""
    seconds = max(0, now - milliseconds) // 1000
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def left(until: int | None, now: int) -> str:
    """How much time is left, in one unit."""
    return ago(now, until) if until is not None else ""


def lanes(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Findings that name a place in the film's time, as ``category``, ``start``, ``end``, ``state``.

    A box stands for the moment of its frame.
    """
    placed = []
    for finding in findings:
        where = finding.get("where") or {}
        start = where.get("start_ms", where.get("ms"))
        if start is not None:
            end = where.get("end_ms", start + 100)
            placed.append(
                {
                    "category": str(finding["category"]),
                    "start": start / 1000,
                    "end": max(start, end) / 1000,
                    "state": "found",
                }
            )
    return placed


def short(text: str, head: int = 8) -> str:
    """The two ends of a long identifier."""
    return text if len(text) <= head + 7 else f"{text[:head]}\N{HORIZONTAL ELLIPSIS}{text[-4:]}"


def percent(score: float | int | None) -> str:
    """A score of 0 to 1, or parts per million, as ``0.42``."""
    if score is None:
        return ""
    value = score / 1_000_000 if isinstance(score, int) else score
    return f"{value:.2f}"


def words(slug: object) -> str:
    """``ours_intact`` as ``ours intact``."""
    return str(slug).replace("_", " ").replace(".", " \N{MIDDLE DOT} ")


_environment.filters.update(
    plain=plain, clock=clock, ago=ago, left=left, lanes=lanes, short=short, percent=percent, words=words
)
