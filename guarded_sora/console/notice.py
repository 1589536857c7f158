"""``/notice``: anybody can say that a clip does harm; the notice becomes a case for a reviewer."""

from __future__ import annotations

import secrets
from typing import Annotated

import orjson
from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from guarded_sora.console.language import language_of, languages
from guarded_sora.console.render import page
from guarded_sora.console.session import same_origin
from guarded_sora.errors import UsageError
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.server.state import Here

router = APIRouter()
_NOTICES_AN_HOUR = 20

GROUNDS = ("my_likeness", "my_work", "sexual", "violence", "deception", "other")


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
) -> Response:
    """Open a case; what was written is kept encrypted, and can be erased."""
    same_origin(request)
    server.brake("notice", request, an_hour=_NOTICES_AN_HOUR)
    if ground not in GROUNDS or not statement.strip() or not about.strip():
        words = languages()[language_of(request)]
        return _page(request, problem=words["notice.incomplete"], status=400)
    keys = server.services.keys
    # Without an address nobody can be told apart, so every such notice has an owner of its own.
    owner = keys.pseudonym("notice", contact.strip().lower() or secrets.token_hex(16))
    written = {"ground": ground, "about": about.strip(), "statement": statement.strip(), "contact": contact}
    case_id = server.services.cases.open(
        kind="notice",
        subject=_subject(about, owner),
        summary={"action": "review", "rules": [], "ground": ground},
        payload=orjson.dumps(
            {name: value.encode("utf-8", "replace").decode() for name, value in written.items()}
        ),
        actor=owner,
        owner=owner,
    )
    return _page(request, case_id=case_id)


def _subject(about: str, owner: str) -> str:
    """The clip a notice names, else its owner: an address on the web is personal data."""
    for word in about.split():
        try:
            return str(ClipId.parse(word.strip(".,;()<>")))
        except UsageError:
            continue
    return owner


def _page(request: Request, *, case_id: str = "", problem: str = "", status: int = 200) -> Response:
    language = language_of(request)
    return page(
        request,
        "notice.html",
        status=status,
        language=language,
        languages={code: own["language"] for code, own in languages().items()},
        w=languages()[language],
        grounds=GROUNDS,
        case_id=case_id,
        problem=problem,
    )
