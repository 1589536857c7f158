"""The worker's side: waits for the name of a function, runs it, answers; started by the pool.

Standard output and error lead nowhere, so whatever a library prints cannot disturb the protocol.
The process limits its own memory before it parses anything and dies with its parent.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib
import os
import resource
import signal
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from guarded_sora.worker import wire

OUT_OF_MEMORY_STATUS = 86

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_MACHINERY = ("stages.py", "worker")  # every error of a stage comes through these


class NotAllowed(Exception):
    """The name is not a public function of an allowed module."""


def resolve(name: str, packages: Iterable[str]) -> Callable[..., Any]:
    """The function ``module:function``, which must be public and defined in that very module."""
    module_name, separator, function_name = name.partition(":")
    allowed = any(module_name == package or module_name.startswith(package + ".") for package in packages)
    if not separator or not allowed or function_name.startswith("_"):
        raise NotAllowed(name)
    function = getattr(importlib.import_module(module_name), function_name, None)
    if not callable(function) or getattr(function, "__module__", None) != module_name:
        raise NotAllowed(name)
    return function  # type: ignore[no-any-return]


def main(request_fd: int, response_fd: int, lifeline_fd: int) -> None:
    """Serve until the parent closes the request pipe."""
    _die_with_parent(lifeline_fd)
    read_into, write = _reader(request_fd), _writer(response_fd)
    with contextlib.suppress(EOFError, BrokenPipeError):
        hello = wire.unpack(read_into, trusted=True)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_AS, hello["memory_bytes"])
        for module in hello["warm"]:
            importlib.import_module(module)
        write(("ready", os.getpid()))
        while True:
            kind, name, args, kwargs, cpu_seconds = wire.unpack(read_into, trusted=True)
            _limit_cpu(cpu_seconds)
            try:
                run = functools.partial(_run, name, hello["packages"], args, kwargs)
                if kind == "call":
                    write(("value", run()))
                else:
                    _serve_stream(run, read_into, write)
            except (EOFError, BrokenPipeError):
                raise
            except MemoryError:
                # The heap is of no further use; a fresh process takes over.
                os._exit(OUT_OF_MEMORY_STATUS)
            except BaseException as error:
                write(("error", describe(error)))


def _run(name: str, packages: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return resolve(name, packages)(*args, **kwargs)


def _serve_stream(
    start: Callable[[], Iterable[Any]], read_into: wire.ReadInto, write: Callable[[Any], None]
) -> None:
    """One item for each "next" the parent sends, so that a slow reader holds the decoder back.

    Whatever happens, the last word is the parent's "stop": after it both sides are in step again.
    """
    stopped = False
    try:
        with contextlib.closing(_closable(start())) as iterator:
            while True:
                if wire.unpack(read_into, trusted=True) != "next":
                    stopped = True
                    break
                try:
                    item = next(iterator)
                except StopIteration:
                    break
                write(("item", item))
        last: tuple[str, Any] = ("end", None)
    except (EOFError, BrokenPipeError, MemoryError):
        raise
    except BaseException as error:
        last = ("error", describe(error))
    write(last)
    while not stopped:
        stopped = bool(wire.unpack(read_into, trusted=True) == "stop")


def _closable(items: Iterable[Any]) -> Any:
    iterator = iter(items)
    return iterator if hasattr(iterator, "close") else (item for item in iterator)


def describe(error: BaseException) -> dict[str, Any]:
    """What may cross about an error: for foreign ones only the class and the place, never the text."""
    kind = type(error)
    ours = (
        isinstance(error, Exception)
        and wire.is_ours(kind.__module__)
        and not isinstance(error, wire.WireError)
    )
    state = {key: value for key, value in vars(error).items() if isinstance(value, str | int | float | None)}
    return {
        "ours": ours,
        "module": kind.__module__,
        "name": kind.__name__,
        "text": str(error) if ours else "",
        "state": state if ours else {},
        "where": place(error),
    }


def place(error: BaseException) -> str:
    """``file:line`` of the innermost frame of ours in the traceback, or an empty string."""
    for entry in reversed(traceback.extract_tb(error.__traceback__)):
        name = os.path.relpath(entry.filename, _ROOT)
        if entry.filename.startswith(_ROOT + os.sep) and not name.startswith(_MACHINERY):
            return f"{wire.OUR_PACKAGE}/{name}:{entry.lineno}"
    return ""


def _reader(fd: int) -> wire.ReadInto:
    def read_into(view: memoryview) -> None:
        while view.nbytes:
            count = os.readv(fd, [view])
            if count == 0:
                raise EOFError
            view = view[count:]

    return read_into


def _writer(fd: int) -> Callable[[Any], None]:
    def write(message: Any) -> None:
        for piece in wire.pack(message):
            view = piece.cast("B")
            while view.nbytes:
                view = view[os.write(fd, view) :]

    return write


def _die_with_parent(lifeline_fd: int) -> None:
    """Have the kernel send SIGIO, whose default is to end the process, when the parent is gone.

    Unlike a parent-death signal this does not fire when only the thread that started us ends, and
    unlike a watching thread it works while a C library holds the interpreter lock.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(lifeline_fd, fcntl.F_GETFL)
        fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, flags | os.O_ASYNC)


def _limit(what: int, soft: int) -> None:
    hard = resource.getrlimit(what)[1]
    wanted = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
    with contextlib.suppress(ValueError, OSError):  # some systems know no such limit
        resource.setrlimit(what, (wanted, hard))


def _limit_cpu(seconds: float) -> None:
    """Allow ``seconds`` more of processor time: the last resort when the parent cannot end us."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + seconds) + 1)
