"""Functions that misbehave on purpose; the tests run them in a worker."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import MediaError, StageFailed


def echo(value: Any) -> Any:
    return value


def add(left: int, *, right: int) -> int:
    return left + right


def pid() -> int:
    return os.getpid()


def modules() -> list[str]:
    return sorted(sys.modules)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def peak_memory() -> int:
    """Kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def hang(seconds: float) -> None:
    time.sleep(seconds)


def hang_in_c(seconds: int) -> None:
    """Holds the interpreter lock the whole time."""
    ctypes.PyDLL(None).sleep(ctypes.c_uint(seconds))


def burn(seconds: float) -> int:
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        count += 1
    return count


def crash() -> None:
    ctypes.string_at(0)


def kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(status: int) -> None:
    os._exit(status)


def ask_to_exit() -> None:
    sys.exit(3)


def eat_memory() -> int:
    hoard = []
    while True:
        hoard.append(np.ones(1 << 24, np.uint8))


def shout() -> str:
    print("x" * 100_000)
    sys.stderr.write("y" * 100_000)
    os.write(1, b"raw" * 100_000)
    return "still here"


def media_error() -> None:
    raise MediaError("The film is a teapot; pour it out.")


def stage_failed() -> None:
    raise StageFailed("inner", "it broke")


def foreign_error(secret: str) -> None:
    raise ValueError(secret)


def unpicklable() -> Any:
    return lambda: None


def forge() -> None:
    """Write bytes that are no message straight into the response pipe."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.write(int(name), b"\x00" * 64)
            except OSError:
                continue


class Forged:
    """Its pickle asks the reader to call a function."""

    def __reduce__(self) -> Any:
        return (os.system, ("true",))


def forged_pickle() -> Any:
    return Forged()


def array(count: int) -> NDArray[np.uint8]:
    return np.arange(count, dtype=np.uint8)


def strided() -> NDArray[np.int64]:
    return np.arange(20, dtype=np.int64).reshape(4, 5)[:, ::2]


def batch() -> FrameBatch:
    return FrameBatch(frames=np.full((2, 4, 6, 3), 7, np.uint8), times=np.array([0.0, 0.5]), fps=2.0)


def count(limit: int, pause: float = 0.0) -> Iterator[int]:
    for number in range(limit):
        time.sleep(pause)
        yield number


def count_into(path: str, limit: int) -> Iterator[int]:
    """Counts and leaves a trace of how far it got."""
    for number in range(limit):
        with open(path, "w") as trace:
            trace.write(str(number))
        yield number


def count_then_raise(limit: int) -> Iterator[int]:
    yield from range(limit)
    raise MediaError("The film breaks off.")


def count_then_hang(limit: int) -> Iterator[int]:
    yield from range(limit)
    time.sleep(600)


def count_then_crash(limit: int) -> Iterator[int]:
    yield from range(limit)
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(600)


def _private() -> int:
    return 1


later = time.sleep
