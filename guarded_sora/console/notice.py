"""``/notice``: anybody can say that a clip does harm; the notice becomes a case for a reviewer."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from guarded_sora.console.language import language_of, languages
from guarded_sora.console.render import page
from guarded_sora.console.session import same_origin
from guarded_sora.errors import UsageError
from guarded_sora.notices import Complaint, receive_notice
from guarded_sora.server.state import Here

router = APIRouter()
_NOTICES_AN_HOUR = 20

GROUNDS = {
    "my_likeness": ("likeness", "person"),
    "intimate": ("intimate", "person"),
    "child": ("child_safety", "anybody"),
    "my_work": ("copyright", "rights_holder"),
    "illegal": ("illegal", "anybody"),
    "sexual": ("other", "anybody"),
    "violence": ("other", "anybody"),
    "deception": ("other", "anybody"),
    "other": ("other", "anybody"),
}
"""What the form offers, as the claim and the complainant that a clock is chosen by."""

_COUNTRY = re.compile(r"[A-Za-z]{2}|")


@router.get("/notice")
def notice_page(request: Request) -> Response:
    """The form."""
    return _page(request)


@router.post("/notice")
def notice(
    request: Request,
    server: Here,
    about: Annotated[str, Form(max_length=500)] = "",
    ground: Annotated[str, Form(max_length=32)] = "",
    statement: Annotated[str, Form(max_length=5000)] = "",
    contact: Annotated[str, Form(max_length=200)] = "",
    country: Annotated[str, Form(max_length=32)] = "",
) -> Response:
    """Open a case; what was written is kept encrypted, and can be erased.

    Copies are looked for in store and log now, and in films when a reviewer decides.
    """
    same_origin(request)
    server.brake("notice", request, an_hour=_NOTICES_AN_HOUR)
    if (
        ground not in GROUNDS
        or not statement.strip()
        or not about.strip()
        or not _COUNTRY.fullmatch(country.strip())
    ):
        words = languages()[language_of(request)]
        return _page(request, problem=words["notice.incomplete"], status=400)
    claim, by = GROUNDS[ground]
    complaint = Complaint(
        claim=claim,
        by=by,
        jurisdiction=country.strip().upper() or "*",
        about=about.strip(),
        statement=statement.strip(),
        contact=contact.strip(),
    )
    try:
        received = receive_notice(server.services, complaint, open_films=False)
    except UsageError:
        words = languages()[language_of(request)]
        return _page(request, problem=words["notice.incomplete"], status=400)
    return _page(request, case_id=received.notice.case_id)


def _page(request: Request, *, case_id: str = "", problem: str = "", status: int = 200) -> Response:
    language = language_of(request)
    return page(
        request,
        "notice.html",
        status=status,
        language=language,
        languages={code: own["language"] for code, own in languages().items()},
        w=languages()[language],
        grounds=tuple(GROUNDS),
        case_id=case_id,
        problem=problem,
    )
