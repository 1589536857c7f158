"""Keys and the authorisation matrix: every route with every scope, and with none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import create_engine

from guarded_sora import UsageError
from guarded_sora.server.access import SCOPES, Access
from guarded_sora.server.app import create_app
from guarded_sora.server.tables import api_keys, metadata
from tests.guarded_sora.server.conftest import Running

OPEN = {
    "/healthz",
    "/readyz",
    "/audit/checkpoint",
    "/matches/byBinding",
    "/matches/byContent",
    "/manifests/{manifest_id:path}",
    "/services/supportedAlgorithms",
    "/services/capabilities",
    "/services/status",
    "/.well-known/c2pa-soft-binding-resolution",
    "/check",
    "/notice",
    "/console",
    "/console/sign-in",
    "/console/sign-out",
    "/console/welcome",
}
FILLED = {
    "video_id": "video_0",
    "case_id": "0",
    "clip_id": "gs1:00000000:0000000000",
    "key_id": "0",
    "seq": "999",
    "name": "entry.json",
    "level": "0",
    "place": "000",
    "place:path": "000",
}


def routes(app: Any) -> Iterator[tuple[str, str, str | None]]:
    """``(method, path, scope or None)`` of every route."""
    for route in _flat(app.routes):
        if not isinstance(route, APIRoute):
            continue
        scopes = {
            scope for part in route.dependant.dependencies if (scope := getattr(part.call, "scope", None))
        }
        assert len(scopes) <= 1, route.path
        for method in route.methods:
            yield method, route.path, next(iter(scopes), None)


def _flat(given: Any) -> Iterator[Any]:
    for route in given:
        inner = getattr(route, "original_router", None)
        yield from _flat(inner.routes) if inner is not None else (route,)


def test_every_route_asks_for_a_scope_or_is_meant_to_be_open(running: Running) -> None:
    app = create_app(running.server.services)
    found = list(routes(app))
    assert len(found) > 35
    assert {path for _, path, scope in found if scope is None} == OPEN
    assert {scope for _, _, scope in found if scope is not None} == set(SCOPES)


def test_the_matrix(running: Running) -> None:
    app = create_app(running.server.services)
    keys = {scope: running.key(scope) for scope in SCOPES}
    wrong = []
    with httpx.Client(base_url=running.url, timeout=60) as client:
        sessions = {}
        for scope, key in keys.items():
            client.post("/console/sign-in", data={"key": key})
            sessions[scope] = dict(client.cookies)
            client.cookies.clear()
        for method, template, needed in routes(app):
            if needed is None:
                continue
            path = template
            for name, value in FILLED.items():
                path = path.replace("{" + name + "}", value)
            console = path.startswith("/console")
            nobody = client.request(method, path)
            if nobody.status_code != (303 if console else 401):
                wrong.append((method, path, "nobody", nobody.status_code))
            for scope, key in keys.items():
                if console:
                    cookies = "; ".join(f"{name}={value}" for name, value in sessions[scope].items())
                    answer = client.request(method, path, headers={"cookie": cookies})
                    # A form that is let in then misses its token, which is also a 403.
                    code = answer.json().get("code") if answer.status_code == 403 else ""
                    refused = code == "scope_missing"
                else:
                    answer = client.request(method, path, headers={"authorization": f"Bearer {key}"})
                    refused = answer.status_code == 403
                if refused != (scope not in (needed, "admin")) or answer.status_code >= 500:
                    wrong.append((method, path, scope, answer.status_code))
    assert wrong == []


def test_a_key_is_stored_hashed_and_dies(running: Running) -> None:
    access = running.server.access
    key = access.issue("one", ["verify"], days=1)
    secret = key.rpartition("_")[2]
    with running.server.services.engine.connect() as connection:
        stored = repr(connection.execute(api_keys.select()).all())
    assert secret not in stored
    assert bytes.fromhex(secret) not in stored.encode("latin-1", "ignore")
    principal = access.authenticate(key)
    assert principal is not None and principal.scopes == {"verify"}
    for bad in (key[:-1], key + "0", key.replace("live", "test"), key[:-1] + "é", "gs_live__", "", secret):
        assert access.authenticate(bad) is None, bad
    access.revoke(principal.key_id)
    assert access.authenticate(key) is None


def test_an_expired_key_is_none(running: Running) -> None:
    key = running.server.access.issue("short", ["verify"], days=1e-8)
    time.sleep(0.01)
    assert running.server.access.authenticate(key) is None


def test_a_key_needs_scopes_and_a_name(running: Running) -> None:
    access: Access = running.server.access
    for name, scopes, days in (("x", [], 1), ("x", ["root"], 1), (" ", ["verify"], 1), ("x", ["verify"], -1)):
        with pytest.raises(UsageError):
            access.issue(name, scopes, days=days)


def test_another_first_link_replaces_the_one_before() -> None:
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    access = Access(engine)
    first, second = access.first_link(), access.first_link()
    assert first and second
    assert access.redeem(first) is None
    assert access.redeem(second)
    assert access.redeem(second) is None
