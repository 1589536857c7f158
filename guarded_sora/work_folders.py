"""Private folders and files under ``home/work`` that say whether their process still lives.

Each stands beside a lock (``flock``) that its process holds; the system lets go of it when the process
ends, however it ends. Whoever can take the lock knows that nobody works there any more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

OLD_SECONDS = 24 * 3600
"""Age at which something without a lock is taken for left over."""

RELEASE = "release-"
"""Beginning of the names that belong to :mod:`guarded_sora.recovery`."""


class Lock:
    """A lock held through an open file; closing it, or the end of the process, lets go."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Lock | None:
        """Take the lock at ``path``, making the file; None when another holder lives. Raises ``OSError``."""
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The holder before us may have removed the name between our two steps.
                if path.exists() and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return cls(path, descriptor)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def remove(self) -> None:
        """Take the name away and let go; nothing happens when it was let go before."""
        if self.descriptor >= 0:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
            self.close()

    def close(self) -> None:
        """Let go, and leave the file."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class WorkFolder:
    """A folder of one run's own, gone when it is closed or when its process is gone."""

    def __init__(self, path: Path, lock: Lock | None) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def make(cls, work: Path, prefix: str) -> WorkFolder:
        """A new folder under ``work``. Raises ``OSError``."""
        work.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=work))
        # Until the lock stands, the folder is young and has none, so nobody sweeps it.
        return cls(path, Lock.take(_lock_of(path)))

    def close(self) -> None:
        """Remove the folder and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.remove()


def sweep(work: Path) -> None:
    """Remove what ended runs left behind: at once where a lock says so, else after a day."""
    with suppress(OSError):
        for path in list(work.iterdir()):
            with suppress(OSError):
                if path.name.startswith(RELEASE):
                    continue
                if path.name.endswith(".lock"):
                    _sweep_lock(path)
                elif path.is_dir() and _lock_of(path).exists():
                    _sweep_folder(path)
                elif time.time() - path.stat().st_mtime > OLD_SECONDS:
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink(missing_ok=True)


def _sweep_folder(path: Path) -> None:
    lock = Lock.take(_lock_of(path))
    if lock is not None:
        shutil.rmtree(path, ignore_errors=True)
        lock.remove()


def _sweep_lock(path: Path) -> None:
    folder = path.with_name(path.name.removeprefix(".").removesuffix(".lock"))
    if not folder.exists() and (lock := Lock.take(path)) is not None:
        lock.remove()


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")
