"""One child process: started, spoken to under a deadline, and killed without leaving anything.

It is started as ``python -c`` with the parent's import path appended, so it never imports the
user's main module: scripts without a ``__main__`` guard, notebooks and stdin all work.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from enum import StrEnum
from typing import Any

from guarded_sora.worker import wire
from guarded_sora.worker.child import OUT_OF_MEMORY_STATUS

_BOOT = """
import json, sys
fds, path = json.loads(sys.argv[1])
sys.path.extend(entry for entry in path if entry not in sys.path)
from guarded_sora.worker.child import main
main(*fds)
"""

_CHILD_ENVIRONMENT = {
    # Each thread pool and malloc arena reserves address space, which the memory limit counts.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONUNBUFFERED": "1",
}


class Fault(StrEnum):
    """What went wrong in a worker."""

    TIMEOUT = "timeout"
    CRASHED = "crashed"
    MEMORY = "memory"
    PROTOCOL = "protocol"
    RAISED = "raised"
    BUSY = "busy"


class Lost(Exception):
    """The process at the other end is of no further use."""

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault


class Process:
    """One child process and its three pipes. Not safe for two callers."""

    def __init__(self, *, packages: tuple[str, ...], warm: tuple[str, ...], memory_bytes: int) -> None:
        if not sys.executable:
            raise Lost(Fault.CRASHED, "there is no Python interpreter to start a worker with")
        request_read, request_write = os.pipe()
        response_read, response_write = os.pipe()
        lifeline_read, lifeline_write = os.pipe()
        theirs = (request_read, response_write, lifeline_read)
        ours = (request_write, response_read, lifeline_write)
        path = [entry for entry in sys.path if entry and os.path.isabs(entry)]
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        try:
            self._popen = subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
                [sys.executable, "-P", "-c", _BOOT, json.dumps([theirs, [*path, root]])],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=theirs,
                start_new_session=True,  # Ctrl-C is the parent's to handle
                env={**os.environ, **_CHILD_ENVIRONMENT},
            )
        except OSError as error:
            for fd in ours:
                os.close(fd)
            raise Lost(Fault.CRASHED, f"a worker could not be started ({error.strerror})") from error
        finally:
            for fd in theirs:
                os.close(fd)
        self.owner = os.getpid()
        self._request, self._response = request_write, response_read
        os.set_blocking(request_write, False)
        os.set_blocking(response_read, False)
        self.memory_bytes = memory_bytes
        self.kill = weakref.finalize(self, _end, self._popen, ours, self.owner)
        self._hello = {"packages": packages, "warm": warm, "memory_bytes": memory_bytes}
        self._greeted = False

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def usable(self) -> bool:
        return self.kill.alive and self.owner == os.getpid() and self._popen.poll() is None

    def greet(self, until: float) -> None:
        """Hand over the limits and wait for the first sign of life, once."""
        if not self._greeted:
            self.send(wire.pack(self._hello), until)
            if self.receive(until)[0] != "ready":
                raise Lost(Fault.PROTOCOL, "its process did not start properly")
            self._greeted = True

    def send(self, message: list[memoryview], until: float) -> None:
        for piece in message:
            view = piece.cast("B")
            while view.nbytes:
                self._wait(self._request, select.POLLOUT, until)
                try:
                    view = view[os.write(self._request, view) :]
                except BlockingIOError:
                    continue
                except OSError:
                    raise self._epitaph() from None

    def receive(self, until: float) -> tuple[str, Any]:
        def read_into(view: memoryview) -> None:
            while view.nbytes:
                self._wait(self._response, select.POLLIN, until)
                try:
                    count = os.readv(self._response, [view])
                except BlockingIOError:
                    continue
                if count == 0:
                    raise self._epitaph()
                view = view[count:]

        try:
            kind, value = wire.unpack(read_into, trusted=False)
        except (wire.WireError, TypeError, ValueError):
            raise Lost(Fault.PROTOCOL, "its process sent something unreadable") from None
        if not isinstance(kind, str):
            raise Lost(Fault.PROTOCOL, "its process sent something unreadable")
        return kind, value

    def _wait(self, fd: int, event: int, until: float) -> None:
        poll = select.poll()
        poll.register(fd, event)
        left = until - time.monotonic()
        if not poll.poll(max(0.0, left) * 1000):
            raise Lost(Fault.TIMEOUT, "")

    def _epitaph(self) -> Lost:
        """Why the process is gone, once its end of a pipe is closed."""
        try:
            status = self._popen.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            return Lost(Fault.CRASHED, "its process stopped answering")
        if status == OUT_OF_MEMORY_STATUS:
            return Lost(Fault.MEMORY, f"it needed more than the {self.memory_bytes >> 20} MiB it may use")
        if status == -signal.SIGKILL:
            return Lost(Fault.MEMORY, "its process was killed, most likely because memory ran out")
        if status == -signal.SIGXCPU:
            return Lost(Fault.TIMEOUT, "it used more processor time than it may")
        if status < 0:
            name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
            return Lost(Fault.CRASHED, f"its process crashed ({name})")
        return Lost(Fault.CRASHED, f"its process ended early (status {status})")


def _end(popen: subprocess.Popen[bytes], fds: tuple[int, ...], owner: int) -> None:
    """Kill, reap and close. In a forked copy of the parent only the copied descriptors are closed."""
    if owner == os.getpid():
        with contextlib.suppress(ProcessLookupError):
            popen.kill()
        popen.wait()
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
