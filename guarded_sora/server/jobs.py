"""Jobs as rows: what was accepted, how far it is, how it ended.

The words and pictures of a request wait encrypted in the log (kinds ``video.accepted`` and
``video.input``), written in the same transaction as the row, so that no job is ever unlogged.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import delete, func, insert, or_, select, update

from guarded_sora.audit.connections import reading
from guarded_sora.audit.entry import uuid7
from guarded_sora.server.access import Principal
from guarded_sora.server.asked import Asked
from guarded_sora.server.problems import Problem
from guarded_sora.server.tables import idempotency_keys, video_jobs
from guarded_sora.services import Services

ATTEMPTS = 2  # a job whose process died once is tried again; twice, and the job may be the cause
_DAY_MS = 86_400_000
RELEASE = "release"
"""Stage of a job that only has to release what a reviewer allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row. Times are milliseconds since 1970; ``guard`` is what the answer says of the guard."""

    number: int
    id: str
    key_id: str
    status: str
    stage: str
    progress: int
    model: str
    seconds: str
    size: str
    remixed_from: str | None
    created_ms: int
    completed_ms: int | None
    accepted_seq: int
    input_seq: int | None
    attempts: int
    intent_id: str | None
    lease: str | None
    lease_until_ms: int | None
    clip_id: str | None
    case_id: str | None
    error_code: str | None
    error_message: str | None
    guard: Mapping[str, Any] | None


class JobBook:
    """The table of jobs."""

    def __init__(self, services: Services, *, queue: int, lease_seconds: float) -> None:
        self._services = services
        self._engine = services.engine
        self._queue = queue
        self._lease_ms = int(lease_seconds * 1000)

    # -- from clients

    def accept(
        self, asked: Asked, principal: Principal, *, idempotency: str | None = None, route: str = ""
    ) -> Job:
        """Log the request, keep it encrypted, and queue it: all or nothing.

        Raises:
            Problem: 429 when the queue is full; 409 when the idempotency key was used otherwise.
        """
        body = asked.digest()
        key = hashlib.sha256((idempotency or "").encode("utf-8", "replace")).digest()
        identity = uuid7()
        video_id = f"video_{identity.replace('-', '')}"
        events = asked.events(self._services.keys, principal, video_id, identity)
        with self._services.log.transaction() as tx:
            if idempotency is not None:
                known = self._repeated(tx.connection, principal, key, route, body)
                if known is not None:
                    return _job(known)
            waiting = select(func.count()).where(video_jobs.c.status == "queued")
            if (tx.connection.execute(waiting).scalar() or 0) >= self._queue:
                raise Problem(429, code="queue_full", retry_after=10)
            places = tx.append(events)
            row = {
                "id": video_id,
                "key_id": principal.key_id,
                "status": "queued",
                "stage": "",
                "progress": 0,
                "model": asked.model,
                "seconds": asked.seconds,
                "size": asked.size,
                "remixed_from": asked.remixed_from,
                "created_ms": _now(),
                "accepted_seq": places[0].seq,
                "input_seq": places[1].seq if len(places) > 1 else None,
                "attempts": 0,
            }
            tx.connection.execute(insert(video_jobs), row)
            if idempotency is not None:
                entry = {"key_id": principal.key_id, "digest": key, "route": route, "body": body}
                tx.connection.execute(
                    insert(idempotency_keys), {**entry, "video_id": video_id, "created_ms": _now()}
                )
        return self.get(video_id)

    def repeated(self, asked: Asked, principal: Principal, idempotency: str, route: str) -> Job | None:
        """The job that this idempotency key made before, if it did. Raises Problem 409 as above."""
        key = hashlib.sha256(idempotency.encode("utf-8", "replace")).digest()
        with reading(self._engine) as connection:
            row = self._repeated(connection, principal, key, route, asked.digest(), prune=False)
        return None if row is None else _job(row)

    def get(self, video_id: str, principal: Principal | None = None) -> Job:
        """One job; with ``principal`` only if it is theirs. Raises Problem 404."""
        query = select(video_jobs).where(video_jobs.c.id == video_id[:64])
        if principal is not None:
            query = query.where(video_jobs.c.key_id == principal.key_id)
        with reading(self._engine) as connection:
            row = connection.execute(query).first()
        if row is None:
            raise Problem(404, "There is no video with this id.", code="not_found", param="video_id")
        return _job(row)

    def page(
        self, principal: Principal, *, after: str | None, limit: int, ascending: bool
    ) -> tuple[list[Job], bool]:
        """One page of this key's jobs, and whether more follow."""
        query = select(video_jobs).where(video_jobs.c.key_id == principal.key_id)
        if after is not None:
            number = self.get(after, principal).number
            query = query.where(video_jobs.c.number > number if ascending else video_jobs.c.number < number)
        order = video_jobs.c.number if ascending else video_jobs.c.number.desc()
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(order).limit(limit + 1)).all()
        return [_job(row) for row in rows[:limit]], len(rows) > limit

    def delete(self, job: Job) -> None:
        """Forget a job that is not under way. Its clip's record and the log's events stay.

        Raises:
            Problem: 409 while it is being made.
        """
        with self._engine.begin() as connection:
            gone = connection.execute(
                delete(video_jobs).where(video_jobs.c.id == job.id, video_jobs.c.status != "in_progress")
            )
            if gone.rowcount == 1:
                connection.execute(delete(idempotency_keys).where(idempotency_keys.c.video_id == job.id))
        if gone.rowcount != 1:
            raise Problem(409, "The video is being made; delete it when it is done.", code="in_progress")

    # -- from the pool

    def claim(self, lease: str) -> Job | None:
        """Take the oldest job that waits; None when there is none."""
        with self._engine.begin() as connection:
            oldest = (
                select(video_jobs.c.number)
                .where(video_jobs.c.status == "queued")
                .order_by(video_jobs.c.number)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            number = connection.execute(oldest).scalar()
            if number is None:
                return None
            values = {
                "status": "in_progress",
                "lease": lease,
                "lease_until_ms": _now() + self._lease_ms,
                "intent_id": uuid7(),
                "attempts": video_jobs.c.attempts + 1,
                "progress": 1,
            }
            row = connection.execute(
                update(video_jobs)
                .where(video_jobs.c.number == number, video_jobs.c.status == "queued")
                .values(values)
                .returning(*video_jobs.c)
            ).first()
        return None if row is None else _job(row)

    def renew(self, lease: str, ids: list[str]) -> None:
        """Say that the jobs ``ids`` of this process live."""
        if ids:
            self._set(
                video_jobs.c.id.in_(ids) & (video_jobs.c.lease == lease),
                lease_until_ms=_now() + self._lease_ms,
            )

    def orphans(self) -> list[Job]:
        """Jobs under way whose process has given no sign of life for a lease."""
        query = select(video_jobs).where(
            video_jobs.c.status == "in_progress",
            or_(video_jobs.c.lease_until_ms.is_(None), video_jobs.c.lease_until_ms < _now()),
        )
        with reading(self._engine) as connection:
            return [_job(row) for row in connection.execute(query)]

    def adopt(self, job: Job, lease: str) -> bool:
        """Take over an orphan; False when another process was first."""
        condition = (
            (video_jobs.c.number == job.number)
            & (video_jobs.c.status == "in_progress")
            & (video_jobs.c.lease_until_ms == job.lease_until_ms)
        )
        return self._set(condition, lease=lease, lease_until_ms=_now() + self._lease_ms) == 1

    def advance(self, job: Job, stage: str, progress: int) -> None:
        """Note how far a job is, from 1 to 99."""
        self._set(
            (video_jobs.c.number == job.number) & (video_jobs.c.status == "in_progress"),
            stage=job.stage if job.stage == RELEASE else stage[:40],
            progress=min(max(progress, 1), 99),
        )

    def complete(self, job: Job, *, clip_id: str, size: str, guard: Mapping[str, Any]) -> None:
        """The film is released."""
        self._end(
            job, status="completed", progress=100, clip_id=clip_id, size=size, guard=orjson.dumps(guard)
        )

    def fail(
        self,
        job: Job,
        code: str,
        message: str,
        *,
        guard: Mapping[str, Any] | None = None,
        case_id: str | None = None,
    ) -> None:
        """Nothing was released."""
        self._end(
            job,
            status="failed",
            error_code=code[:64],
            error_message=message[:500],
            case_id=case_id or job.case_id,
            guard=None if guard is None else orjson.dumps(guard),
        )

    def requeue(self, job: Job) -> None:
        """Try a job again whose process died."""
        self._set(video_jobs.c.number == job.number, status="queued", lease=None, lease_until_ms=None)

    def release(self, case_id: str, principal: Principal, opened_seq: int) -> Job:
        """Queue the release of what a reviewer allowed; the client's own job goes on where there is one."""
        values = {"status": "queued", "stage": RELEASE, "attempts": 0, "progress": 0}
        cleared = {"error_code": None, "error_message": None, "completed_ms": None}
        found = video_jobs.c.case_id == case_id
        if self._set(found & (video_jobs.c.status == "failed"), **values, **cleared) == 0:
            row = {
                "id": f"video_{uuid7().replace('-', '')}",
                "key_id": principal.key_id,
                "model": "guarded-sora",
                "seconds": "",
                "size": "auto",
                "created_ms": _now(),
                "accepted_seq": opened_seq,
                "case_id": case_id,
                **values,
            }
            with self._engine.begin() as connection:
                if connection.execute(select(video_jobs.c.id).where(found)).first() is None:
                    connection.execute(insert(video_jobs), row)
        return self.of_case(case_id)

    def of_case(self, case_id: str) -> Job:
        """The job that waits for this case. Raises Problem 404."""
        with reading(self._engine) as connection:
            row = connection.execute(select(video_jobs).where(video_jobs.c.case_id == case_id)).first()
        if row is None:
            raise Problem(404)
        return _job(row)

    def depth(self) -> dict[str, int]:
        """How many jobs wait and how many are under way."""
        query = (
            select(video_jobs.c.status, func.count())
            .where(video_jobs.c.status.in_(("queued", "in_progress")))
            .group_by(video_jobs.c.status)
        )
        with reading(self._engine) as connection:
            found = {str(status): int(count) for status, count in connection.execute(query)}
        return {"queued": found.get("queued", 0), "in_progress": found.get("in_progress", 0)}

    # -- inside

    def _repeated(
        self,
        connection: Any,
        principal: Principal,
        key: bytes,
        route: str,
        body: bytes,
        *,
        prune: bool = True,
    ) -> Any:
        table = idempotency_keys.c
        if prune:
            connection.execute(delete(idempotency_keys).where(table.created_ms < _now() - _DAY_MS))
        known = connection.execute(
            select(idempotency_keys).where(
                table.key_id == principal.key_id, table.digest == key, table.created_ms >= _now() - _DAY_MS
            )
        ).first()
        if known is None:
            return None
        if known.route != route or bytes(known.body) != body:
            raise Problem(
                409,
                "This Idempotency-Key was used for another request; use a new one.",
                code="idempotency_mismatch",
                retry=False,
            )
        return connection.execute(select(video_jobs).where(video_jobs.c.id == known.video_id)).first()

    def _end(self, job: Job, **values: Any) -> None:
        self._set(
            video_jobs.c.number == job.number,
            **{"stage": "", "completed_ms": _now(), "lease": None, "lease_until_ms": None, **values},
        )

    def _set(self, condition: Any, **values: Any) -> int:
        with self._engine.begin() as connection:
            return connection.execute(update(video_jobs).where(condition).values(**values)).rowcount


def _job(row: Any) -> Job:
    values = dict(row._mapping)
    values["guard"] = None if values["guard"] is None else orjson.loads(values["guard"])
    return Job(**values)


def _now() -> int:
    return time.time_ns() // 1_000_000
