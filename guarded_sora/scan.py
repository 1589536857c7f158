"""Looks at thousands of films: one line of JSON each, resumable, with a time budget for each of them.

Every line is what ``verify`` says of a file, with its size and time of change, so a scan that was
stopped goes on where it was and a file that has changed since is looked at again.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from guarded_sora.errors import GuardedSoraError, StageFailed, UsageError
from guarded_sora.services import Services
from guarded_sora.stages import StageRunner
from guarded_sora.verification import Depth, verify

_ENDINGS = "mp4 mov m4v webm mkv gif avi mpg mpeg ts flv wmv 3gp ogv"
SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split())
OUT_OF_TIME = "time_budget"
_MOST_LINE = 16 << 20

Key = tuple[str, int, int]
"""Path from the root, bytes, and time of change in nanoseconds."""


@dataclass(slots=True)
class Summary:
    """How a scan went: counts by verdict, of errors, of files passed over, and the seconds it took."""

    verdicts: Counter[str] = field(default_factory=Counter)
    for_review: int = 0
    errors: int = 0
    skipped: int = 0
    seconds: float = 0.0

    @property
    def scanned(self) -> int:
        """Files with a verdict from this run."""
        return sum(self.verdicts.values())

    def add(self, line: dict[str, Any]) -> None:
        """Count one line."""
        if "error" in line:
            self.errors += 1
            return
        self.verdicts[line["verdict"]] += 1
        states = [item["state"] for item in line.get("evidence", ()) if item["kind"] == "detector"]
        self.for_review += "for_review" in states or "likely" in states


def films(paths: Iterable[Path]) -> Iterator[Path]:
    """Files to look at: each named file, and in folders whatever has the ending of a film, in order.

    Links to folders are not followed, so a ring of them ends.

    Raises:
        UsageError: a path that is not there.
    """
    for path in paths:
        if path.is_file():
            yield path
        elif path.is_dir():
            for folder, folders, names in os.walk(path):
                folders.sort()
                for name in sorted(names):
                    if Path(name).suffix.lower() in SUFFIXES:
                        yield Path(folder) / name
        else:
            raise UsageError(f"{path} is neither a file nor a folder; check the path.")


def scan(
    services: Services,
    paths: Iterable[Path],
    out: Path,
    *,
    depth: Depth = "full",
    budget: float = 60.0,
    resume: bool = False,
    jobs: int = 1,
    told: Callable[[dict[str, Any], Summary], None] | None = None,
) -> Summary:
    """Verify every film under ``paths`` and append a line to ``out`` as each is done.

    Args:
        budget: seconds for one film; what takes longer is ``inconclusive`` for ``time_budget``.
        resume: pass over what ``out`` holds already; without it ``out`` must not exist.
        jobs: films looked at side by side.
        told: called after each film with its line.

    Raises:
        UsageError: a path that is not there, or ``out`` exists and ``resume`` was not asked for.
    """
    paths = tuple(paths)
    for path in paths:  # before a film is looked at, and before ``out`` exists
        if not path.exists():
            raise UsageError(f"{path} is neither a file nor a folder; check the path.")
    start = time.monotonic()
    done = _done(out) if resume else _fresh(out)
    summary = Summary()
    hurried = _hurried(services, budget)
    with open(out, "ab") as lines, ThreadPoolExecutor(max_workers=jobs) as pool:

        def finish(waiting: set[Future[dict[str, Any]]]) -> None:
            for future in waiting:
                line = future.result()
                lines.write(json.dumps(line, default=str).encode() + b"\n")
                lines.flush()
                summary.add(line)
                summary.seconds = time.monotonic() - start
                if told is not None:
                    told(line, summary)

        pending: set[Future[dict[str, Any]]] = set()
        for path in films(paths):
            if _key(path) in done:
                summary.skipped += 1
                continue
            pending.add(pool.submit(_look, hurried, path, depth, budget))
            if len(pending) >= 2 * jobs:
                ready, pending = wait(pending, return_when=FIRST_COMPLETED)
                finish(ready)
        finish(wait(pending).done)
    summary.seconds = time.monotonic() - start
    return summary


def _look(services: Services, path: Path, depth: Depth, budget: float) -> dict[str, Any]:
    """The line of one film; nothing but an interruption gets out of here."""
    key = _key(path)
    place = {"file": str(path), "scanned": {"size": key[1], "changed_ns": key[2]} if key else {}}
    start = time.monotonic()
    try:
        verdict = StageRunner(worker=services.worker).run(
            "scan", verify, services, path, depth=depth, deadline=budget
        )
        line = verdict.as_json() | place
    except StageFailed as error:
        # The film as such, not the installation: it goes on record as undecided.
        line = place | {
            "sha256": None,
            "verdict": "inconclusive",
            "reason": OUT_OF_TIME if "did not finish" in error.reason else "check_failed",
            "clip_id": None,
            "notices": [],
            "evidence": [{"kind": "media", "state": "failed", "detail": {"reason": error.reason}}],
            "segments": [],
            "rules": {},
            "audit": {"seq": None, "included": False},
        }
    except GuardedSoraError as error:
        line = place | {"error": {"code": error.code, "message": str(error)}}
    line["seconds"] = round(time.monotonic() - start, 3)
    return line


def _hurried(services: Services, budget: float) -> Services:
    """The same services with no leg allowed more than the whole budget."""
    deadlines = services.settings.deadlines
    shorter = deadlines.model_copy(
        update={name: min(budget, getattr(deadlines, name)) for name in ("check", "parse", "mark")}
    )
    return replace(services, settings=services.settings.model_copy(update={"deadlines": shorter}))


def _key(path: Path) -> Key | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return os.path.abspath(path), status.st_size, status.st_mtime_ns


def _fresh(out: Path) -> set[Key]:
    if out.exists():
        raise UsageError(f"{out} exists already; name another file, or go on with it by --resume.")
    if not out.parent.is_dir():
        raise UsageError(f"The folder of {out} does not exist; make it first.")
    return set()


def _done(out: Path) -> set[Key]:
    """What ``out`` holds; a last line that a crash cut short is taken away, errors are tried again."""
    if not out.exists():
        return _fresh(out)
    done: set[Key] = set()
    whole = 0
    with open(out, "rb") as lines:
        while line := lines.readline(_MOST_LINE):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                document = json.loads(line)
                seen = document["scanned"]
                key = os.path.abspath(document["file"]), int(seen["size"]), int(seen["changed_ns"])
            except (ValueError, KeyError, TypeError):
                continue
            if "error" not in document:
                done.add(key)
    os.truncate(out, whole)
    return done


__all__ = ["OUT_OF_TIME", "SUFFIXES", "Summary", "films", "scan"]
