"""The re-hash of the whole log, in a thread of its own: a page asks for it and looks in again."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from guarded_sora.audit.log import AuditLog
from guarded_sora.audit.rehash import VerifyReport
from guarded_sora.stages import describe


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """``running`` with ``done`` of ``total`` entries hashed; then a ``report`` or a ``fault``."""

    running: bool = False
    done: int = 0
    total: int = 0
    report: VerifyReport | None = None
    fault: str = ""
    ended_ms: int | None = None


class Rehashing:
    """At most one at a time; the last report is kept until the next begins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = State()

    def state(self) -> State:
        """How far it is."""
        return self._state

    def start(self, log: AuditLog) -> None:
        """Begin, unless one is under way."""
        with self._lock:
            if self._state.running:
                return
            self._state = State(running=True, total=log.size)
        threading.Thread(target=self._run, args=(log,), name="rehash", daemon=True).start()

    def _run(self, log: AuditLog) -> None:
        try:
            report = log.verify(self._note)
        except Exception as error:  # whatever it is, the page says that nothing was shown
            self._state = State(fault=describe(error), ended_ms=_now())
        else:
            self._state = State(report=report, total=report.size, done=report.size, ended_ms=_now())

    def _note(self, done: int, total: int) -> None:
        self._state = State(running=True, done=done, total=total)


def _now() -> int:
    return time.time_ns() // 1_000_000
