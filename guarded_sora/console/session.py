"""Who looks at a page, and whether a form really came from it."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request

from guarded_sora.console.render import Elsewhere
from guarded_sora.server.access import Principal, form_token
from guarded_sora.server.problems import Problem
from guarded_sora.server.state import COOKIE, Here, Server, marked

SIGN_IN = "/console/sign-in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A signed-in person. ``token`` goes into every form; ``reviewer`` is their name in the log."""

    principal: Principal
    token: str
    reviewer: str

    def may(self, scope: str) -> bool:
        """Whether their key carries ``scope``."""
        return self.principal.may(scope)


def person_of(request: Request, server: Server) -> Person | None:
    """The person behind the cookie, if their session lives."""
    secret = request.cookies.get(COOKIE, "")
    principal = server.access.session(secret) if secret else None
    if principal is None:
        return None
    request.state.key_id = principal.key_id
    reviewer = server.services.keys.pseudonym("reviewer", principal.reviewer)
    return Person(principal=principal, token=form_token(secret), reviewer=reviewer)


def sees(scope: str) -> Any:
    """A dependency for pages: whoever is not signed in goes to the door; 403 without ``scope``."""

    def check(request: Request, server: Here) -> Person:
        person = person_of(request, server)
        if person is None:
            raise Elsewhere(f"{SIGN_IN}?next={quote(request.url.path)}")
        if not person.may(scope):
            raise Problem(403, f"This page needs a key with the scope '{scope}'.", code="scope_missing")
        return person

    return Depends(marked(check, scope))


def acts(scope: str) -> Any:
    """As :func:`sees`, for what changes something: the form must carry this session's token."""
    inner: Callable[..., Person] = sees(scope).dependency

    async def check(request: Request, server: Here) -> Person:
        person = inner(request, server)
        same_origin(request)
        given = request.headers.get("x-form-token", "")
        if not given:
            form = await request.form(max_files=1, max_fields=64, max_part_size=1 << 20)
            value = form.get("token", "")
            given = value if isinstance(value, str) else ""
        if not hmac.compare_digest(given.encode(), person.token.encode()):
            raise Problem(403, "This form is out of date; load the page again.", code="form_token")
        return person

    return Depends(marked(check, scope))


def same_origin(request: Request) -> None:
    """Refuse what another site made the browser send. Raises Problem 403."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise Problem(403, "This request came from another site.", code="cross_site")
        return
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Problem(403, "This request came from another site.", code="cross_site")
