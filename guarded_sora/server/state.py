"""What every route works with, and who is allowed to use it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from guarded_sora.media import MediaLimits
from guarded_sora.server.access import Access, Principal
from guarded_sora.server.jobs import JobBook
from guarded_sora.server.judging import Judges
from guarded_sora.server.metrics import Metrics
from guarded_sora.server.options import ServerOptions
from guarded_sora.server.pool import JobPool
from guarded_sora.server.problems import Problem
from guarded_sora.services import Services

COOKIE = "guarded_sora_session"


class Turnstile:
    """At most ``slots`` at once and ``waiting`` behind them; one more is answered 503."""

    def __init__(self, slots: int, waiting: int) -> None:
        self._slots = threading.Semaphore(slots)
        self._room = threading.Semaphore(slots + waiting)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a slot. Raises Problem 503 when too many wait already."""
        if not self._room.acquire(blocking=False):
            raise Problem(503, "Too many clips are being checked; try again shortly.", retry_after=5)
        try:
            with self._slots:
                yield
        finally:
            self._room.release()


class Brake:
    """So many goes an hour from one address; kept in memory only, the oldest forgotten first."""

    def __init__(self, an_hour: int, *, addresses: int = 10_000) -> None:
        self._an_hour = an_hour
        self._addresses = addresses
        self._seen: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, address: str) -> None:
        """Count one go. Raises Problem 429."""
        now = time.monotonic()
        with self._lock:
            left, at = self._seen.pop(address, (float(self._an_hour), now))
            left = min(float(self._an_hour), left + (now - at) * self._an_hour / 3600)
            allowed = left >= 1
            self._seen[address] = (left - 1 if allowed else left, now)
            while len(self._seen) > self._addresses:
                self._seen.popitem(last=False)
        if not allowed:
            raise Problem(429, "Too many from this address; try again later.", retry_after=60)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Server:
    """One server process. ``examining``: the services with the bounds that uploads are verified in."""

    services: Services
    examining: Services
    options: ServerOptions
    access: Access
    jobs: JobBook
    pool: JobPool
    metrics: Metrics
    checks: Turnstile
    judges: Judges
    brakes: dict[str, Brake] = field(default_factory=dict)

    def brake(self, name: str, request: Request, *, an_hour: int) -> None:
        """Count one use of ``name`` by this address. Raises Problem 429."""
        address = request.client.host if request.client is not None else ""
        self.brakes.setdefault(name, Brake(an_hour)).take(address)


def make_server(services: Services, options: ServerOptions) -> Server:
    """Put the parts together; nothing runs yet."""
    metrics = Metrics()
    jobs = JobBook(services, queue=options.queue, lease_seconds=options.lease_seconds)
    pool = JobPool(services, jobs, metrics, workers=options.workers, lease_seconds=options.lease_seconds)
    return Server(
        services=services,
        examining=_bounded(services, options),
        options=options,
        access=Access(services.engine),
        jobs=jobs,
        pool=pool,
        metrics=metrics,
        checks=Turnstile(options.checks, waiting=8 * options.checks),
        judges=Judges(
            services, slots=options.judges, behind=4 * options.judges, seconds=options.judge_seconds
        ),
    )


def _bounded(services: Services, options: ServerOptions) -> Services:
    """``services`` for films of strangers: none may hold a slot for as long as a film of our own."""
    seconds = options.check_seconds
    given = services.settings.deadlines
    deadlines = given.model_copy(
        update={"mark": min(given.mark, seconds), "parse": min(given.parse, seconds)}
    )
    limits = MediaLimits(
        open_seconds=min(30.0, seconds), chunk_seconds=min(30.0, seconds), pass_seconds=seconds
    )
    settings = services.settings.model_copy(update={"deadlines": deadlines})
    return replace(services, settings=settings, limits=limits)


def the_server(request: Request) -> Server:
    """The server behind this request."""
    return cast(Server, request.app.state.server)


Here = Annotated[Server, Depends(the_server)]

_bearer = HTTPBearer(auto_error=False, description="An API key: gs_live_...")


def needs(scope: str) -> Any:
    """A dependency that answers 401 without a key and 403 without ``scope``, and gives the principal."""

    def check(
        request: Request,
        server: Here,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    ) -> Principal:
        principal = None if credentials is None else server.access.authenticate(credentials.credentials)
        if principal is None:
            raise Problem(401, code="invalid_api_key")
        if not principal.may(scope):
            raise Problem(403, f"This needs a key with the scope '{scope}'.", code="scope_missing")
        request.state.key_id = principal.key_id
        return principal

    return Depends(marked(check, scope))


def marked(check: Callable[..., Any], scope: str) -> Callable[..., Any]:
    """Say on a dependency which scope it asks for; the authorisation test reads it."""
    check.scope = scope  # type: ignore[attr-defined]
    return check
