"""Judging words and pictures while a client waits: within a deadline, and so many at once.

A check runs in a thread, and a thread cannot be killed. One that outlives its deadline therefore
keeps its request's slot until it ends: however slow a text is, threads cannot pile up, and when
every slot hangs the answer is 503 rather than "nothing found".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from guarded_sora.detectors.check import FrameCheck
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.policies.finding import CheckRun, Decision, Finding, RequestContext
from guarded_sora.policies.text.check import unavailable_reason
from guarded_sora.server.problems import Problem
from guarded_sora.services import Services
from guarded_sora.stages import CheckOutcome, CheckSummary, StageRunner

T = TypeVar("T")

SLOW = "Judging this takes too long; nothing can be said of it. Send less at once."


class Judge:
    """The checks of one request. A check that raises or is late is recorded as failed."""

    def __init__(self, services: Services, slot: _Slot, until: float) -> None:
        self._services = services
        self._slot = slot
        self._until = until
        self._runner = StageRunner()

    def left(self) -> float:
        """Seconds until the request's deadline. Raises Problem 503 when there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise Problem(503, SLOW, code="too_slow", retry_after=5)
        return left

    def text(self, text: str, context: RequestContext) -> Decision:
        """What the policy decides on ``text`` alone."""
        findings: list[Finding] = []
        runs: list[CheckRun] = []
        for check in self._services.prompt_checks:
            if reason := unavailable_reason(check, text):
                runs.append(self._runner.unavailable(check.name, version=check.version, reason=reason))
                continue
            seen, run = self._run(check.name, check.version, partial(check.check, text, context))
            findings += seen
            runs.append(run)
        return self._services.policy.decide(findings, context, runs)

    def picture(
        self, batch: FrameBatch, checks: Sequence[FrameCheck]
    ) -> tuple[list[Finding], list[CheckRun]]:
        """What ``checks`` see in a picture, and how each of them went."""
        findings: list[Finding] = []
        runs: list[CheckRun] = []
        for check in checks:
            if check.unavailable:
                runs.append(
                    self._runner.unavailable(check.name, version=check.version, reason=check.unavailable)
                )
                continue
            seen, run = self._run(check.name, check.version, partial(check.inspect, batch))
            findings += seen
            runs.append(run)
        return findings, runs

    def _run(
        self, name: str, version: str, work: Callable[[], Sequence[Finding]]
    ) -> tuple[Sequence[Finding], CheckRun]:
        deadline = min(self.left(), self._services.settings.deadlines.check)
        outcome: CheckOutcome[Sequence[Finding]] = self._runner.run_check(
            name,
            self._slot.kept(work),
            version=version,
            deadline=deadline,
            summary=lambda seen: CheckSummary(result=f"{len(seen)} findings" if seen else ""),
        )
        return outcome.value or (), outcome.run


class Judges:
    """At most ``slots`` requests are judged at once, each within ``seconds``, and ``behind`` wait."""

    def __init__(self, services: Services, *, slots: int, behind: int, seconds: float) -> None:
        self._services = services
        self._seconds = seconds
        self._slots = threading.Semaphore(slots)
        self._room = threading.Semaphore(slots + behind)

    @contextmanager
    def one(self) -> Iterator[Judge]:
        """A judge, for as long as the block runs.

        Raises:
            Problem: 503 when too many wait, or none is free in time.
        """
        until = time.monotonic() + self._seconds
        if not self._room.acquire(blocking=False):
            raise Problem(503, "Too much is being judged; try again shortly.", retry_after=5)
        try:
            if not self._slots.acquire(timeout=self._seconds):
                raise Problem(503, "Too much is being judged; try again shortly.", retry_after=5)
            slot = _Slot(self._slots)
            try:
                yield Judge(self._services, slot, until)
            finally:
                slot.leave()
        finally:
            self._room.release()


class _Slot:
    """Given back when the request and every check it started have ended."""

    def __init__(self, slots: threading.Semaphore) -> None:
        self._slots = slots
        self._lock = threading.Lock()
        self._users = 1

    def kept(self, work: Callable[[], T]) -> Callable[[], T]:
        """``work``, which keeps the slot until it ends, however late."""
        with self._lock:
            self._users += 1

        def run() -> T:
            try:
                return work()
            finally:
                self.leave()

        return run

    def leave(self) -> None:
        """One user less."""
        with self._lock:
            self._users -= 1
            free = self._users == 0
        if free:
            self._slots.release()
