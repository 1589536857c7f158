"""Runs the stages of the guard under deadlines, and holds the one right to release a file.

A stage runs in a thread (our own code) or in the killable worker (parsing, third-party code). A
thread cannot be killed, so an abandoned one may go on for as long as it likes. What makes that
harmless is the :class:`ReleaseToken`: no stage ever gets it, any failure revokes it, and only the
thread of the guard that made it can spend it, once, to move the finished file to its place.
"""

from __future__ import annotations

import contextlib
import contextvars
import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from guarded_sora.errors import Blocked, GuardedSoraError, MediaError, ReviewRequired, StageFailed
from guarded_sora.policies.finding import CheckRun, CheckState
from guarded_sora.worker import Worker
from guarded_sora.worker.child import place
from guarded_sora.worker.wire import is_ours

T = TypeVar("T")

OUTCOMES = (Blocked, ReviewRequired)
"""Errors that are answers of the policy, not faults of a stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """How long a stage took, in wall-clock seconds, and how it ended."""

    name: str
    seconds: float
    state: CheckState = CheckState.RAN
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSummary:
    """What a check says of itself for the record: a word, a score and the bound it was held to."""

    result: str = ""
    score: float | None = None
    threshold: float | None = None
    weights_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOutcome(Generic[T]):
    """``value`` is what the check returned, None when it did not run to its end."""

    value: T | None
    run: CheckRun


class ReleaseToken:
    """The right to release one file: made by the guard, revoked by any failure, spent once.

    It belongs to the thread that made it. Keep it out of the arguments of every stage.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = threading.get_ident()
        self._revoked = ""
        self._spent = False

    @property
    def revoked(self) -> bool:
        return bool(self._revoked)

    @property
    def reason(self) -> str:
        """Why it was revoked first; empty while it holds."""
        return self._revoked

    @property
    def spent(self) -> bool:
        return self._spent

    def revoke(self, reason: str) -> None:
        """From now on nothing can be released with this token. Callable from any thread."""
        with self._lock:
            self._revoked = self._revoked or reason or "revoked"

    def publish(self, finished: Path, target: Path) -> Path:
        """Spend the token: move ``finished`` to ``target`` in one step and return ``target``.

        The bytes are on the disk before the name appears, and a reader sees the old file, if there
        was one, or the whole new one, never a part. Both may lie on different file systems.
        Raises StageFailed when the token does not hold, MediaError when the target cannot be
        written; a token that failed here is spent or revoked all the same.
        """
        with self._lock:
            if threading.get_ident() != self._thread:
                self._revoked = self._revoked or "another thread tried to release"
                raise StageFailed("publish", "only the guard's own thread may release")
            if self._revoked:
                raise StageFailed("publish", f"the release was revoked ({self._revoked})")
            if self._spent:
                raise StageFailed("publish", "this release was already made")
            if not finished.is_file():
                self._revoked = "the finished file is gone"
                raise StageFailed("publish", self._revoked)
            self._spent = True
            try:
                _move(finished, target)
            except OSError as error:
                self._revoked = "the file could not be put in its place"
                raise MediaError(_cannot_write(target, error)) from error
        return target


class StageRunner:
    """Runs stages and checks for one request, in order, and remembers how each of them went.

    ``worker`` may be shared by many runners. With a ``token``, every stage that fails revokes it.
    """

    def __init__(self, *, worker: Worker | None = None, token: ReleaseToken | None = None) -> None:
        self._worker = worker
        self._token = token
        self._lock = threading.Lock()
        self._stages: list[StageRecord] = []
        self._checks: list[CheckRun] = []

    @property
    def stages(self) -> tuple[StageRecord, ...]:
        return tuple(self._stages)

    @property
    def checks(self) -> tuple[CheckRun, ...]:
        return tuple(self._checks)

    def run(self, stage: str, function: Callable[..., T], /, *args: Any, deadline: float, **kwargs: Any) -> T:
        """What ``function`` returns, run in a thread of its own for at most ``deadline`` seconds.

        Our own errors pass as they are; anything else, and a hang, is StageFailed. After the
        deadline the thread is left behind and what it returns is dropped.
        """
        with self._recorded(stage):
            return _in_thread(stage, deadline, function, args, kwargs)

    def run_in_worker(self, stage: str, name: str, /, *args: Any, deadline: float, **kwargs: Any) -> Any:
        """As :meth:`run`, for ``module:function`` of our packages in the killable worker."""
        with self._recorded(stage):
            return self._called(stage, name, args, kwargs, deadline)

    @contextlib.contextmanager
    def here(self, stage: str) -> Iterator[None]:
        """Record a stage that runs in the guard's own thread, without a deadline: publishing."""
        with self._recorded(stage):
            yield

    def run_check(
        self,
        check: str,
        function: Callable[..., T],
        /,
        *args: Any,
        version: str,
        deadline: float,
        summary: Callable[[T], CheckSummary] | None = None,
        **kwargs: Any,
    ) -> CheckOutcome[T]:
        """Run a check in a thread. A fault is its record, state ``failed``; it is never raised.

        ``summary`` turns what the check returned into the words and numbers of its record.
        """
        return self._checked(
            check, version, summary, lambda: _in_thread(check, deadline, function, args, kwargs)
        )

    def run_check_in_worker(
        self,
        check: str,
        name: str,
        /,
        *args: Any,
        version: str,
        deadline: float,
        summary: Callable[[Any], CheckSummary] | None = None,
        **kwargs: Any,
    ) -> CheckOutcome[Any]:
        """As :meth:`run_check`, in the killable worker."""
        return self._checked(
            check, version, summary, lambda: self._called(check, name, args, kwargs, deadline)
        )

    def unavailable(self, check: str, *, version: str, reason: str) -> CheckRun:
        """Record a check that cannot run here: no model or extra is installed."""
        return self._remember(
            CheckRun(name=check, version=version, state=CheckState.UNAVAILABLE, reason=reason)
        )

    def record(self, run: CheckRun) -> CheckRun:
        """Add a record that a check made of itself."""
        return self._remember(run)

    def _checked(
        self,
        check: str,
        version: str,
        summary: Callable[[T], CheckSummary] | None,
        attempt: Callable[[], T],
    ) -> CheckOutcome[T]:
        start = time.perf_counter()
        value: T | None = None
        said = CheckSummary()
        state, reason = CheckState.RAN, ""
        try:
            value = attempt()
            if summary is not None:
                said = summary(value)
        except (KeyboardInterrupt, SystemExit):
            self._revoke(check, "it was interrupted")
            raise
        except BaseException as error:
            value, state, reason = None, CheckState.FAILED, describe(error)
        return CheckOutcome(
            value=value,
            run=self._remember(
                CheckRun(
                    name=check,
                    version=version,
                    state=state,
                    reason=reason,
                    result=said.result,
                    score=said.score,
                    threshold=said.threshold,
                    ms=1000.0 * (time.perf_counter() - start),
                    weights_sha256=said.weights_sha256,
                )
            ),
        )

    def _remember(self, run: CheckRun) -> CheckRun:
        with self._lock:
            self._checks.append(run)
        return run

    def _called(
        self, stage: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], deadline: float
    ) -> Any:
        if self._worker is None:
            raise StageFailed(stage, "no worker was given to run it in")
        return self._worker.call(name, *args, deadline=deadline, stage=stage, **kwargs)

    @contextlib.contextmanager
    def _recorded(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        state, reason = CheckState.RAN, ""
        try:
            yield
        except OUTCOMES as outcome:
            self._revoke(stage, type(outcome).__name__)
            raise
        except GuardedSoraError as error:
            state, reason = CheckState.FAILED, describe(error)
            self._revoke(stage, reason)
            raise
        except Exception as error:
            state, reason = CheckState.FAILED, describe(error)
            self._revoke(stage, reason)
            raise StageFailed(stage, reason) from None
        except BaseException:
            state, reason = CheckState.FAILED, "it was interrupted"
            self._revoke(stage, reason)
            raise
        finally:
            record = StageRecord(name=stage, seconds=time.perf_counter() - start, state=state, reason=reason)
            with self._lock:
                self._stages.append(record)

    def _revoke(self, stage: str, reason: str) -> None:
        if self._token is not None:
            self._token.revoke(f"{stage}: {reason}")


def describe(error: BaseException) -> str:
    """One clause about an error that is safe to record: its class and, for errors of ours, its text.

    The text of a foreign error is left out, since it may quote what a user wrote; the place in our
    code that it came through stands there instead.
    """
    name = type(error).__name__
    if isinstance(error, StageFailed):
        return error.reason
    if is_ours(type(error).__module__) and isinstance(error, Exception):
        return f"{name}: {error}"
    where = place(error)
    return f"{name} at {where}" if where else name


class _Attempt(Generic[T]):
    """The result of one thread; whoever is first, the thread or the deadline, settles it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.done = threading.Event()
        self._abandoned = False
        self.value: T | None = None
        self.error: BaseException | None = None

    def settle(self, value: T | None, error: BaseException | None) -> None:
        with self._lock:
            if not self._abandoned:
                self.value, self.error = value, error
                self.done.set()

    def abandon(self) -> bool:
        """True when the deadline was first; what comes later is dropped."""
        with self._lock:
            self._abandoned = not self.done.is_set()
            return self._abandoned


def _in_thread(
    stage: str, deadline: float, function: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> T:
    attempt: _Attempt[T] = _Attempt()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            attempt.settle(context.run(function, *args, **kwargs), None)
        except BaseException as error:
            attempt.settle(None, error)

    # A daemon: a stage that hangs for ever must not keep the program from ending.
    threading.Thread(target=work, name=f"stage {stage}", daemon=True).start()
    try:
        attempt.done.wait(deadline)
    finally:
        abandoned = attempt.abandon()
    if abandoned:
        raise StageFailed(stage, f"it did not finish within {deadline:g} s")
    error = attempt.error
    if error is not None:
        if isinstance(error, Exception):
            raise error
        raise StageFailed(stage, describe(error)) from None
    return attempt.value  # type: ignore[return-value]  # T may itself be Optional


def _move(finished: Path, target: Path) -> None:
    """Rename ``finished`` to ``target``, by way of a copy beside it when they are on two file systems."""
    _flush(finished)
    try:
        os.replace(finished, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}.part")
        try:
            shutil.copyfile(finished, beside)
            _flush(beside)
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
        finished.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not every file system can flush a folder
        _flush(target.parent)


def _flush(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _cannot_write(target: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"There is no room for {target}; free some space and try again."
    if error.errno in (errno.EISDIR, errno.ENOTEMPTY):
        return f"{target} is a folder; give the name of a file."
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"The folder of {target} does not exist; make it first."
    return f"{target} cannot be written ({error.strerror}); choose another place."
