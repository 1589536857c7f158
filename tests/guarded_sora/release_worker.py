"""Releases one case and is killed on the way: ``python -m ... HOME CASE TARGET INSTANT``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from guarded_sora import GuardedSora, cases, recovery
from guarded_sora.stages import ReleaseToken
from guarded_sora.store import ClipStore
from tests.guarded_sora.conftest import Painter


def die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str) -> None:
    setattr(owner, name, die)


def after(owner: Any, name: str) -> None:
    whole = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> None:
        whole(*args, **kwargs)
        die()

    setattr(owner, name, wrapped)


INSTANTS = {
    "before_the_claim": lambda: before(cases, "_claim"),
    "after_the_claim": lambda: after(cases, "_claim"),
    "film_in_hand": lambda: before(cases, "sha256_file"),
    "store_says_released": lambda: after(ClipStore, "settle"),
    "film_in_place": lambda: after(ReleaseToken, "publish"),
    "words_not_begun": lambda: before(cases, "resume"),
    "words_decided": lambda: before(Painter, "generate"),
    "words_released_in_the_log": lambda: before(ReleaseToken, "publish"),
    "journal_half_written": lambda: after(recovery.os, "ftruncate"),
}

if __name__ == "__main__":
    home, case_id, target, instant = sys.argv[1:]
    with GuardedSora.open(home=Path(home), backend=Painter()) as sora:
        INSTANTS[instant]()
        sora.release_case(case_id, output=Path(target))
