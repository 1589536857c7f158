"""The parent's side: a few warm processes, one caller each, replaced after any fault."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from typing import Any, Self

from guarded_sora.errors import StageFailed, UsageError
from guarded_sora.worker import wire
from guarded_sora.worker.process import Fault, Lost, Process

PACKAGES = ("guarded_sora.media", "guarded_sora.provenance", "guarded_sora.detectors")
"""Where functions that may run in a worker live."""

_WINDOW = 2  # items of a stream that may be under way: one being read, one being made
_NEXT, _STOP = wire.pack("next"), wire.pack("stop")
_PATIENCE = 0.5  # seconds a stopped stream gets to end before its process is replaced


class WorkerFault(StageFailed):
    """A function in the worker did not return: ``fault`` says why, ``reason`` is one clause."""

    def __init__(self, stage: str, reason: str, fault: Fault) -> None:
        super().__init__(stage, reason)
        self.fault = fault


class Worker:
    """Runs ``module:function`` of our own packages in warm child processes.

    Up to ``processes`` callers are served at once, each by a process of its own; one more waits
    within its deadline. One idle process is kept. ``memory_bytes`` limits the address space of
    each. Deadlines are seconds from now. After a timeout, a crash or a protocol fault the process
    is killed and the next call gets a fresh one. POSIX only.
    """

    def __init__(
        self,
        *,
        packages: tuple[str, ...] = PACKAGES,
        warm: tuple[str, ...] = (),
        memory_bytes: int = 4 << 30,
        processes: int = 3,
        start_seconds: float = 60.0,
    ) -> None:
        self._packages = packages
        self._warm = warm
        self._memory_bytes = memory_bytes
        self._processes = max(1, processes)
        self._start_seconds = start_seconds
        self._closed = False
        self._idle: list[Process] = []
        self._forget()

    def start(self) -> Self:
        """Start one process ahead of need, without waiting for it. Never raises for want of a process."""
        with contextlib.suppress(Lost), self._free:
            if not self._idle and not self._closed:
                self._idle.append(self._spawn())
        return self

    def call(self, name: str, /, *args: Any, deadline: float, stage: str | None = None, **kwargs: Any) -> Any:
        """What the function returns. ``stage`` is the name errors carry, by default the function's.

        Raises WorkerFault when it does not finish, and our own errors as they were raised.
        """
        stage = stage or name.rpartition(":")[2]
        message = self._message("call", name, args, kwargs, _cpu_allowance(deadline))
        process = self._acquire(stage, deadline)
        until = time.monotonic() + deadline
        try:
            process.send(message, until)
            kind, value = process.receive(until)
            if kind not in ("value", "error"):
                raise Lost(Fault.PROTOCOL, "its process sent something unreadable")
        except Lost as lost:
            process.kill()
            raise _fault(stage, lost, deadline) from None
        except BaseException:
            process.kill()
            raise
        finally:
            self._release(process)
        if kind == "error":
            raise _rebuild(stage, value)
        return value

    def stream(
        self, name: str, /, *args: Any, deadline_per_item: float, stage: str | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """The items a generator function yields, made at most one ahead of the reader.

        The process is taken with the first item and given back when the iterator ends or is closed.
        Raises as :meth:`call` does.
        """
        stage = stage or name.rpartition(":")[2]
        # No message renews the allowance while a film runs, so a whole day's worth is given.
        message = self._message("stream", name, args, kwargs, _cpu_allowance(24 * 3600.0))
        process = self._acquire(stage, deadline_per_item)
        until = time.monotonic() + deadline_per_item
        in_step = False
        try:
            process.send(message, until)
            for _ in range(_WINDOW):
                process.send(_NEXT, until)
            while True:
                kind, value = process.receive(until)
                if kind != "item":
                    break
                yield value
                until = time.monotonic() + deadline_per_item
                process.send(_NEXT, until)
            if kind not in ("end", "error"):
                raise Lost(Fault.PROTOCOL, "its process sent something unreadable")
            process.send(_STOP, until)
            in_step = True
        except GeneratorExit:
            in_step = _stop(process)
            raise
        except Lost as lost:
            raise _fault(stage, lost, deadline_per_item) from None
        finally:
            if not in_step:
                process.kill()
            self._release(process)
        if kind == "error":
            raise _rebuild(stage, value)

    def close(self) -> None:
        """End the idle processes; busy ones end when their caller is done. Safe to call twice."""
        with self._free:
            self._closed = True
            idle, self._idle = self._idle, []
        for process in idle:
            process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self) -> None:
        self._owner = os.getpid()
        self._free = threading.Condition()
        self._idle = []
        self._busy = 0

    def _message(self, kind: str, name: str, *rest: Any) -> list[memoryview]:
        module, separator, function = name.partition(":")
        if (
            not separator
            or not function
            or not any(module == package or module.startswith(package + ".") for package in self._packages)
        ):
            raise UsageError(f"{name!r} is not a function that may run in a worker; name it module:function.")
        try:
            return wire.pack((kind, name, *rest))
        except wire.WireError:
            raise UsageError(
                f"The arguments of {name!r} cannot cross to a worker; pass plain values."
            ) from None

    def _spawn(self) -> Process:
        return Process(packages=self._packages, warm=self._warm, memory_bytes=self._memory_bytes)

    def _acquire(self, stage: str, deadline: float) -> Process:
        if self._owner != os.getpid():
            self._forget()  # after a fork the processes belong to the parent
        with self._free:
            if not self._free.wait_for(lambda: self._busy < self._processes, timeout=deadline):
                raise WorkerFault(stage, f"all workers were busy for {deadline:g} s", Fault.BUSY)
            if self._closed:
                raise WorkerFault(stage, "the worker was closed", Fault.CRASHED)
            self._busy += 1
            process = self._idle.pop() if self._idle else None
        try:
            if process is None or not process.usable:
                if process is not None:
                    process.kill()
                process = self._spawn()
            process.greet(time.monotonic() + self._start_seconds)
            return process
        except BaseException as error:
            if process is not None:
                process.kill()
            self._release(process)
            if isinstance(error, Lost):
                raise _fault(stage, error, self._start_seconds) from None
            raise

    def _release(self, process: Process | None) -> None:
        surplus = None
        with self._free:
            self._busy -= 1
            if process is not None and process.usable:
                if self._idle or self._closed:
                    surplus = process
                else:
                    self._idle.append(process)
            self._free.notify()
        if surplus is not None:
            surplus.kill()


def _stop(process: Process) -> bool:
    """Tell a stream to end early; True when the process said so in time and can be used again."""
    until = time.monotonic() + _PATIENCE
    try:
        process.send(_STOP, until)
        while process.receive(until)[0] == "item":
            pass
    except Lost:
        return False
    return True


def _cpu_allowance(deadline: float) -> float:
    return deadline * (os.cpu_count() or 1) + 10.0


def _fault(stage: str, lost: Lost, deadline: float) -> WorkerFault:
    reason = str(lost) or f"it did not finish within {deadline:g} s"
    return WorkerFault(stage, reason, lost.fault)


def _rebuild(stage: str, told: Any) -> Exception:
    """The error as the worker described it: ours as they were, foreign ones as WorkerFault."""
    try:
        if told["ours"]:
            kind = wire.our_class(told["module"], told["name"])
            if not issubclass(kind, Exception):
                raise wire.WireError("no error class")
            if kind.__name__ == "NotAllowed":
                return UsageError(f"{told['text']!r} is not a function that may run in a worker.")
            error = kind.__new__(kind, str(told["text"]))
            vars(error).update(told["state"])
            return error
        where = f" at {told['where']}" if told["where"] else ""
        return WorkerFault(stage, f"{told['name']}{where}", Fault.RAISED)
    except (wire.WireError, ImportError, KeyError, TypeError):
        return WorkerFault(stage, "its process sent something unreadable", Fault.PROTOCOL)
