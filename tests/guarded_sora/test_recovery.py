"""A release cut off by a crash is finished or taken back; what dead runs left goes at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from guarded_sora import Blocked, GuardedSora, ReviewRequired, UsageError, VerdictName
from guarded_sora.doctor import _releases
from guarded_sora.passage import Passage
from guarded_sora.policies.finding import Finding, RequestContext
from guarded_sora.progress import Silent
from guarded_sora.recovery import FAILED, RELEASED, recover_releases
from guarded_sora.work_folders import Lock, WorkFolder, sweep
from tests.guarded_sora.conftest import Painter
from tests.guarded_sora.release_worker import INSTANTS

PROMPT = "a red balloon rising over a sandy beach"
REFUSED = "a photorealistic beheading, blood everywhere"


class Failing:
    """A check that is out of order sends what it looks at to review."""

    name = "test.failing"
    version = "1"
    unavailable = ""

    def check(self, text: str, context: Any) -> list[Finding]:
        raise RuntimeError("out of order")

    inspect = check


def wait_for_review(sora: GuardedSora, tmp_path: Path, *, words: bool) -> str:
    checks = {"prompt_checks": (Failing(),)} if words else {"frame_checks": (Failing(),)}
    with pytest.raises(ReviewRequired) as caught:
        GuardedSora(replace(sora.services, **checks)).generate(PROMPT, output=tmp_path / "never.mp4")
    sora.services.cases.decide(caught.value.case_id, "allow", reviewer="rita", reason_code="looked")
    return caught.value.case_id


def release_and_die(home: Path, case_id: str, target: Path, instant: str) -> None:
    command = [sys.executable, "-m", "tests.guarded_sora.release_worker"]
    done = subprocess.run(
        [*command, str(home), case_id, str(target), instant], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


OUT = ("film_in_place",)


@pytest.mark.slow
@pytest.mark.parametrize("instant", sorted(INSTANTS))
def test_a_release_killed_midway_is_put_right(home: Path, tmp_path: Path, instant: str) -> None:
    words = instant.startswith("words")
    target = tmp_path / "clip.mp4"
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        case_id = wait_for_review(sora, tmp_path, words=words)
    release_and_die(home, case_id, target, instant)
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        work = sora.services.settings.work
        assert not list(work.iterdir()), "nothing of the dead run is left"
        if instant in OUT:
            with pytest.raises(UsageError, match="released before"):
                sora.release_case(case_id, output=tmp_path / "again.mp4")
        else:
            assert not target.exists()
            sora.release_case(case_id, output=target)
        assert sora.verify(target).verdict is VerdictName.OURS_INTACT
        assert [path.name for path in tmp_path.glob("*.mp4")] == ["clip.mp4"]
        log = sora.services.log
        taken, failed = (log.count(kind, subject=case_id) for kind in (RELEASED, FAILED))
        assert taken == failed + 1 and log.verify().ok
        assert recover_releases(sora.services) == () and _releases(sora.services) == "none was cut off"


def test_a_release_under_way_is_left_alone(sora: GuardedSora, tmp_path: Path) -> None:
    case_id = wait_for_review(sora, tmp_path, words=False)
    held = sora.services.settings.held / f"{case_id}.mp4"
    work = sora.services.settings.work
    lock = Lock.take(work / f"release-{case_id}.json")
    assert lock is not None
    os.replace(held, work / f"release-{case_id}.mp4")
    assert recover_releases(sora.services) == ()
    with pytest.raises(UsageError, match="another process"):
        sora.release_case(case_id, output=tmp_path / "clip.mp4")
    lock.close()  # its process is gone
    assert sora.release_case(case_id, output=tmp_path / "clip.mp4").path.is_file()


def test_work_of_a_dead_process_is_swept_at_once_and_of_a_living_one_kept(tmp_path: Path) -> None:
    living = WorkFolder.make(tmp_path, "passage-")
    dead = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys; from pathlib import Path; from guarded_sora.work_folders import WorkFolder\n"
            "made = WorkFolder.make(Path(sys.argv[1]), 'passage-')\n"
            "(made.path / 'film.mp4').write_bytes(b'x')\n"
            "print(made.path, flush=True); os.kill(os.getpid(), 9)",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
    )
    left = Path(dead.stdout.strip())
    assert (left / "film.mp4").is_file()
    (tmp_path / ".passage-gone.lock").touch()
    (tmp_path / "upload-without-lock").mkdir()
    sweep(tmp_path)
    assert not left.exists() and living.path.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [living.path.name, f".{living.path.name}.lock", "upload-without-lock"]
    )
    old = time.time() - 2 * 24 * 3600
    os.utime(tmp_path / "upload-without-lock", (old, old))
    living.close()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_policy_counts_what_the_log_knows(sora: GuardedSora, tmp_path: Path) -> None:
    cases, context = sora.services.cases, RequestContext(actor="ann")

    def counted(actor: str = "ann") -> dict[str, int]:
        passage = Passage(sora.services, RequestContext(actor=actor), Silent())
        passage.begin("request", {}, "words")
        passage.count_history()
        return {name.removeprefix("actor."): value for name, value in passage.context.counters.items()}

    assert set(counted().values()) == {0}
    with pytest.raises(Blocked):
        sora.generate(REFUSED, context=context, output=tmp_path / "never.mp4")
    failing = GuardedSora(replace(sora.services, prompt_checks=(Failing(),)))
    with pytest.raises(ReviewRequired) as caught:
        failing.generate(PROMPT, context=context, output=tmp_path / "never.mp4")
    case = cases.decide(caught.value.case_id, "block", reviewer="rita", reason_code="x")
    cases.strike(case.case_id, case.owner, reviewer="rita", reason_code="x")
    assert counted() == {
        "blocks_24h": 1,
        "reviews_24h": 1,
        "requests_24h": 3,
        "strikes": 1,
        "appeals_won": 0,
    }
    cases.appeal(case.case_id, by=case.owner)
    cases.decide_appeal(case.case_id, "overturn", reviewer="sam", reason_code="y", action="allow")
    now = counted()
    assert (now["strikes"], now["appeals_won"], now["requests_24h"]) == (0, 1, 4)
    assert set(counted("bob").values()) == {0}
