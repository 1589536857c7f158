"""The bounded local pool that makes the films, and what a restart does with those under way.

A job is taken under a lease that its process renews. When a process dies, whoever looks next finds
the lease expired, reads in the log what became of the attempt, and ends the job accordingly: an
attempt without an outcome is recorded as failed and tried once more.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from guarded_sora.audit.entry import Entry, Event
from guarded_sora.audit.errors import AuditError
from guarded_sora.cases import release_case
from guarded_sora.errors import Blocked, GuardedSoraError, MediaError, ReviewRequired, UsageError
from guarded_sora.guard import generate
from guarded_sora.media import probe, sha256_file
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.records import check_json, decision_json
from guarded_sora.release import Release
from guarded_sora.server.asked import recall
from guarded_sora.server.jobs import ATTEMPTS, RELEASE, Job, JobBook
from guarded_sora.server.metrics import Metrics
from guarded_sora.server.problems import Problem
from guarded_sora.services import Services
from guarded_sora.store import ClipState
from guarded_sora.work_folders import WorkFolder

# Where each stage leaves the progress bar; generation fills the space between its ends.
_PERCENT = {
    "audit_intent": 2,
    "prompt_checks": 4,
    "load_generator": 8,
    "generate": 12,
    "frame_checks": 72,
    "reserve_id": 76,
    "mark_and_encode": 78,
    "sign": 86,
    "read_mark": 88,
    "read_credentials": 91,
    "fingerprint": 93,
    "contact_sheet": 95,
    "store": 97,
    "audit_outcome": 98,
    "publish": 99,
}
_GENERATED = 70
_NOTE_SECONDS = 0.5  # steps are noted at most so often: each note is a write


class JobPool:
    """``workers`` threads that make films. Start it, and close it to let the jobs under way end."""

    def __init__(
        self, services: Services, book: JobBook, metrics: Metrics, *, workers: int, lease_seconds: float
    ) -> None:
        self._services = services
        self._book = book
        self._metrics = metrics
        self._lease = secrets.token_hex(16)
        self._pause = max(0.2, lease_seconds / 4)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._active: set[str] = set()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, name=f"job-{index}", daemon=True) for index in range(workers)
        ]
        self._threads.append(threading.Thread(target=self._watch, name="job-watch", daemon=True))

    def start(self) -> None:
        """Begin to take jobs; what a dead process left is looked at first."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is something new to do."""
        self._wake.set()

    def close(self, *, patience: float = 5.0) -> None:
        """Take no further job. One that is under way longer than ``patience`` seconds is left to
        the next start, which finds its lease expired."""
        self._stop.set()
        self._wake.set()
        until = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    @property
    def alive(self) -> bool:
        """Whether every thread of the pool still runs."""
        return all(thread.is_alive() for thread in self._threads)

    # -- threads

    def _work(self) -> None:
        while not self._stop.is_set():
            job = None
            # A database that is away for a moment must not end the thread; the watch tries again.
            with suppress(Exception):
                job = self._book.claim(self._lease)
            if job is None:
                self._wake.wait(1.0)
                self._wake.clear()
                continue
            with self._busy(job):
                self._run(job)

    def _watch(self) -> None:
        while not self._stop.is_set():
            with suppress(Exception):
                with self._lock:
                    active = list(self._active)
                self._book.renew(self._lease, active)
                for job in self._book.orphans():
                    if job.id not in active and self._book.adopt(job, self._lease):
                        self._settle(job)
                        self._wake.set()
            self._stop.wait(self._pause)

    @contextmanager
    def _busy(self, job: Job) -> Iterator[None]:
        with self._lock:
            self._active.add(job.id)
        try:
            yield
        finally:
            with self._lock:
                self._active.discard(job.id)

    # -- one job

    def _run(self, job: Job) -> None:
        folder: WorkFolder | None = None
        try:
            folder = WorkFolder.make(self._services.settings.work, "job-")
            progress = _Noted(self._book, job)
            if job.stage == RELEASE:
                release = release_case(self._services, job.case_id or "", progress=progress)
            else:
                request, context = recall(self._services.log, job.accepted_seq, job.input_seq, folder.path)
                (release,) = generate(
                    self._services, request, context, progress=progress, intent_id=job.intent_id
                )
            self._metrics.released(release)
            self._end(lambda: self._complete(job, release))
        except Blocked as error:
            self._metrics.decided(error.decision)
            guard = guard_document(decision=decision_json(error.decision), seq=error.audit_seq)
            self._fail(job, "moderation_blocked", str(error), guard=guard)
        except ReviewRequired as error:
            self._metrics.decided(error.decision)
            guard = guard_document(
                decision=decision_json(error.decision), seq=error.audit_seq, case_id=error.case_id
            )
            self._fail(job, "review_required", _waits(error.case_id), guard=guard, case_id=error.case_id)
        except MediaError:
            self._fail(job, "media", "The input reference cannot be read as a picture or film; convert it.")
        except (GuardedSoraError, AuditError) as error:
            self._fail(job, error.code, str(error))
        except Problem as problem:
            self._fail(job, problem.code or "invalid_request", problem.message)
        except Exception as error:  # never a traceback with somebody's words in it
            self._fail(job, "internal", f"The job failed ({type(error).__name__}); nothing was released.")
        finally:
            if folder is not None:
                folder.close()

    def _complete(self, job: Job, release: Release) -> None:
        guard = guard_document(
            decision=decision_json(release.decision),
            seq=release.audit_seq,
            clip_id=str(release.clip_id),
            sha256=release.sha256,
            checks=[check_json(check) for check in release.checks],
            in_domain=release.in_domain,
            warnings=list(release.warnings),
        )
        self._book.complete(
            job, clip_id=str(release.clip_id), size=self._size(release.path, job.size), guard=guard
        )

    def _fail(self, job: Job, code: str, message: str, **more: Any) -> None:
        self._end(lambda: self._book.fail(job, code, message, **more))

    def _end(self, write: Callable[[], None]) -> None:
        """Write the end of a job; should the database be away, the lease runs out and the log tells."""
        for pause in (0.1, 1.0, None):
            try:
                write()
                return
            except Exception:
                if pause is None:
                    return
                self._stop.wait(pause)

    def _size(self, path: Path, fallback: str) -> str:
        try:
            info = probe(path, self._services.worker)
        except GuardedSoraError:
            return fallback
        return f"{info.width}x{info.height}"

    # -- after a restart

    def _settle(self, job: Job) -> None:
        """End an orphan as the log says its attempt ended, or try it again."""
        if job.stage == RELEASE:
            released = self._services.log.search(kind="case.released", subject=job.case_id, limit=1000)
            if released and self._finish_released(job, released[-1]):
                return
            self._again(job)
            return
        events = self._services.log.search(subject=job.intent_id, limit=1000) if job.intent_id else []
        outcome = next((entry for entry in reversed(events) if entry.kind in _OUTCOMES), None)
        if outcome is None:
            if events:
                self._record(events[0], "request.failed", {"stage": "interrupted", "code": "interrupted"})
            self._again(job)
        elif outcome.kind == "request.released":
            if not self._finish_released(job, outcome):
                self._record(outcome, "release.undone", {"released_seq": outcome.seq})
                self._services.store.settle(ClipId.parse(outcome.body["clip_id"]), state=ClipState.WITHDRAWN)
                self._again(job)
        elif outcome.kind == "request.blocked":
            guard = guard_document(decision=_decision_of(outcome), seq=outcome.seq)
            self._book.fail(job, "moderation_blocked", "The request was blocked by policy.", guard=guard)
        elif outcome.kind == "request.held":
            case_id = str(outcome.body["case_id"])
            guard = guard_document(decision=_decision_of(outcome), seq=outcome.seq, case_id=case_id)
            self._book.fail(job, "review_required", _waits(case_id), guard=guard, case_id=case_id)
        else:
            self._book.fail(job, str(outcome.body.get("code", "failed")), "The film could not be made.")

    def _again(self, job: Job) -> None:
        if job.attempts < ATTEMPTS:
            self._book.requeue(job)
        else:
            self._book.fail(job, "interrupted", "The server stopped twice while the film was made.")

    def _finish_released(self, job: Job, outcome: Entry) -> bool:
        """Complete a job whose film was logged as released, if the film is in its place."""
        clip_id = str(outcome.body.get("clip_id") or outcome.body.get("about"))
        try:
            record = self._services.store.by_id(ClipId.parse(clip_id))
        except UsageError:  # a case about words: its film has another name
            return False
        path = film_path(self._services, clip_id)
        if record is None or not path.is_file() or sha256_file(path) != record.file_sha256:
            return False
        if record.state is not ClipState.RELEASED:
            self._services.store.settle(record.clip_id, state=ClipState.RELEASED, audit_seq=outcome.seq)
        guard = guard_document(
            decision=_decision_of(outcome), seq=outcome.seq, clip_id=clip_id, sha256=record.file_sha256
        )
        self._book.complete(job, clip_id=clip_id, size=self._size(path, job.size), guard=guard)
        return True

    def _record(self, about: Entry, kind: str, body: dict[str, Any]) -> None:
        self._services.log.append(
            [Event(kind=kind, actor=about.actor, subject=about.subject, body={**body, "recovered": True})]
        )


_OUTCOMES = ("request.released", "request.blocked", "request.held", "request.failed")


class _Noted:
    """Writes a job's progress into its row, not too often."""

    def __init__(self, book: JobBook, job: Job) -> None:
        self._book = book
        self._job = job
        self._stage = ""
        self._percent = 1
        self._written = 0.0

    def stage(self, name: str) -> None:
        self._stage = name
        self._percent = max(self._percent, _PERCENT.get(name, self._percent))
        self._note(always=True)

    def step(self, done: int, total: int | None) -> None:
        if self._stage == "generate" and total:
            start = _PERCENT["generate"]
            self._percent = max(self._percent, start + (_GENERATED - start) * done // total)
        self._note()

    def _note(self, *, always: bool = False) -> None:
        if not always and time.monotonic() - self._written < _NOTE_SECONDS:
            return
        self._written = time.monotonic()
        # Progress is a courtesy; the job itself must not fail for it.
        with suppress(Exception):
            self._book.advance(self._job, self._stage, self._percent)


def film_path(services: Services, clip_id: str) -> Path:
    """Where a released clip lies when its request named no path."""
    return services.settings.clips / f"{clip_id.replace(':', '-')}.mp4"


def guard_document(*, decision: dict[str, Any], seq: int | None, **more: Any) -> dict[str, Any]:
    """The ``guard`` object of a video; keys with nothing to say are left out."""
    document = {"decision": decision, "policy": decision.get("pack"), "audit": {"seq": seq}, **more}
    return {name: value for name, value in document.items() if value is not None}


def _decision_of(entry: Entry) -> dict[str, Any]:
    body = entry.body
    rules = [{"id": rule["id"], "reason": rule["reason"]} for rule in body.get("rules", [])]
    return {
        "action": body.get("action", "allow"),
        "obligations": list(body.get("obligations", [])),
        "rules": rules,
        "pack": body.get("pack"),
    }


def _waits(case_id: str) -> str:
    return f"The request waits for a reviewer as case {case_id}; ask for this video again after the decision."
