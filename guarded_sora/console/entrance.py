"""Signing in and out, the first administrator's link, and the page of keys."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from guarded_sora.console.render import page
from guarded_sora.console.session import SIGN_IN, Person, acts, person_of, same_origin, sees
from guarded_sora.errors import UsageError
from guarded_sora.server.access import SCOPES, SESSION_SECONDS
from guarded_sora.server.problems import Problem
from guarded_sora.server.state import COOKIE, Here, Server

router = APIRouter()
_TRIES_AN_HOUR = 120

Text = Annotated[str, Form(max_length=300)]


@router.get("/console")
def front(request: Request, server: Here) -> RedirectResponse:
    """The first page this person can use."""
    person = person_of(request, server)
    if person is None:
        return RedirectResponse(SIGN_IN, 303)
    return RedirectResponse(_home(person), 303)


@router.get(SIGN_IN)
def sign_in_page(request: Request, server: Here, next: str = "") -> Response:
    """The door."""
    return page(request, "sign-in.html", next=next[:300], problem="")


@router.post(SIGN_IN)
def sign_in(request: Request, server: Here, key: Text, next: Text = "") -> Response:
    """A key for a session."""
    same_origin(request)
    server.brake("sign-in", request, an_hour=_TRIES_AN_HOUR)
    principal = server.access.authenticate(key.strip())
    if principal is None:
        problem = "This key is not known here, has expired or was revoked."
        return page(request, "sign-in.html", status=401, next=next, problem=problem)
    return _enter(server, key.strip(), next)


@router.post("/console/sign-out")
def sign_out(request: Request, server: Here) -> Response:
    """End the session; harmless whoever asks, but only from our own page."""
    same_origin(request)
    server.access.close_session(request.cookies.get(COOKIE, ""))
    response = RedirectResponse(SIGN_IN, 303)
    response.delete_cookie(COOKIE, path="/console")
    return response


@router.get("/console/welcome")
def welcome_page(request: Request) -> Response:
    """Where the one-time link leads; its secret stands behind the # and so reaches no log."""
    return page(request, "welcome.html", key="", problem="")


@router.post("/console/welcome")
def welcome(request: Request, server: Here, link: Text) -> Response:
    """The first administrator's key, shown once."""
    same_origin(request)
    server.brake("sign-in", request, an_hour=_TRIES_AN_HOUR)
    key = server.access.redeem(link.strip().rpartition("#")[2])
    if key is None:
        problem = "This link was used, is older than an hour, or a newer one was printed."
        return page(request, "welcome.html", status=401, key="", problem=problem)
    response = page(request, "welcome.html", key=key, problem="")
    _set_cookie(response, server, key)
    return response


@router.get("/console/keys")
def keys_page(request: Request, server: Here, person: Annotated[Person, sees("admin")]) -> Response:
    """All keys."""
    return _keys(request, server, person)


@router.post("/console/keys")
def make_key(
    request: Request,
    server: Here,
    person: Annotated[Person, acts("admin")],
    name: Text = "",
    scope: Annotated[list[str] | None, Form()] = None,
    days: Annotated[float, Form()] = 90,
) -> Response:
    """A new key, shown once."""
    try:
        made = server.access.issue(name, scope or [], days=days)
    except UsageError as error:
        return _keys(request, server, person, problem=str(error), status=400)
    return _keys(request, server, person, made=made)


@router.post("/console/keys/{key_id}/revoke")
def revoke_key(key_id: str, server: Here, person: Annotated[Person, acts("admin")]) -> Response:
    """End a key at once."""
    if key_id == person.principal.key_id:
        raise Problem(409, "This is the key you are signed in with; use another to revoke it.")
    server.access.revoke(key_id)
    return RedirectResponse("/console/keys", 303)


def _keys(
    request: Request, server: Server, person: Person, *, made: str = "", problem: str = "", status: int = 200
) -> Response:
    return page(
        request,
        "keys.html",
        status=status,
        person=person,
        token=person.token,
        keys=server.access.list(),
        scopes=SCOPES,
        made=made,
        problem=problem,
    )


def _enter(server: Server, key: str, target: str) -> Response:
    # Only a path of ours: a full address in ``next`` would send a person elsewhere.
    safe = target if target.startswith("/console/") and "//" not in target and "\\" not in target else ""
    response = RedirectResponse(quote(safe, safe="/") or "/console", 303)
    _set_cookie(response, server, key)
    return response


def _set_cookie(response: Response, server: Server, key: str) -> None:
    principal = server.access.authenticate(key)
    assert principal is not None  # it was made or checked just now
    response.set_cookie(
        COOKIE,
        server.access.open_session(principal),
        max_age=SESSION_SECONDS,
        path="/console",
        secure=server.options.base_url.startswith("https://"),
        httponly=True,
        samesite="strict",
    )


def _home(person: Person) -> str:
    for scope, place in (
        ("review", "/console/queue"),
        ("audit.read", "/console/log"),
        ("admin", "/console/keys"),
    ):
        if person.may(scope):
            return place
    return "/check"
