"""A notice from outside: its copies, what takes them down, what keeps them down, and the whole story."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guarded_sora import Blocked, GuardedSora, MediaError, Release, StageFailed, UsageError
from guarded_sora.audit.errors import Conflict
from guarded_sora.audit.export import write_verifier
from guarded_sora.audit.verifier import CheckFailed, check_dossier
from guarded_sora.copies import Wanted, find_copies
from guarded_sora.decisions import carry_out, decide_case
from guarded_sora.dossier import make_dossier
from guarded_sora.media import ClipFrames, FrameStream, encode
from guarded_sora.notices import (
    Complaint,
    answer_notice,
    known_copies,
    pack_hashes,
    receive_notice,
    unpack_hashes,
    wanted_of,
)
from guarded_sora.reasons import batches, reasons_for
from guarded_sora.store import ClipState
from guarded_sora.transparency_report import as_csv, transparency_report
from tests.guarded_sora.conftest import Painter, moving_scene
from tests.guarded_sora.store.test_clips import hashes

PROMPT = "a red balloon rising over a sandy beach"


@pytest.fixture(scope="module")
def sora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedSora]:
    """One installation whose films are different in every test."""
    with GuardedSora.open(home=tmp_path_factory.mktemp("notices") / "home", backend=Painter()) as opened:
        yield opened


def frames_of(sora: GuardedSora, path: Path) -> np.ndarray:
    return np.concatenate([batch.frames for batch in FrameStream(path, sora.services.worker)])


def reencoded(frames: np.ndarray) -> np.ndarray:
    return frames


def cropped(frames: np.ndarray) -> np.ndarray:
    return frames[:, 20:240, 10:230]


def flipped(frames: np.ndarray) -> np.ndarray:
    return frames[:, :, ::-1]


def shifted(frames: np.ndarray) -> np.ndarray:
    return frames[:, 10:250, 16:240]


def copy_of(
    sora: GuardedSora, release: Release, target: Path, edit: Callable[[np.ndarray], np.ndarray]
) -> Path:
    target.parent.mkdir(exist_ok=True)
    edited = np.ascontiguousarray(edit(frames_of(sora, release.path)))
    encode(ClipFrames(edited, 8.0), target, fps=8.0, crf=24)
    return target


def test_a_notice_finds_the_copies_keeps_them_down_and_tells_it_all(
    sora: GuardedSora, film: Callable[..., Path], tmp_path: Path
) -> None:
    """The three copies are found, a fourth one is refused, and one dossier proves it offline."""
    services, library = sora.services, tmp_path / "library"
    release = sora.generate(PROMPT, seconds=4, seed=11)
    for edit in (reencoded, cropped, flipped):
        copy_of(sora, release, library / f"{edit.__name__}.mp4", edit)
    film("stranger.mp4", seed=5, frames=32).rename(library / "stranger.mp4")
    (library / "broken.mp4").write_bytes(b"no film")

    received = receive_notice(
        services,
        Complaint(
            claim="likeness",
            by="person",
            jurisdiction="IN",
            about=f"it is {release.clip_id}, I think",
            statement="that is me",
            contact="ann@example.org",
        ),
        folders=[library],
    )
    case_id = received.notice.case_id
    assert received.notice.clock.hours == 36
    found = {copy.path.name: copy.by for copy in received.found.copies if copy.path and copy.by != "file"}
    assert found == {"reencoded.mp4": "fingerprint", "cropped.mp4": "watermark", "flipped.mp4": "fingerprint"}
    assert [path.name for path in received.found.failed] == ["broken.mp4"]

    done = decide_case(services, case_id, "block", reviewer="reviewer-rita", reason_code="likeness")
    assert done.clips == (release.clip_id,) and len(done.elsewhere) == 3
    assert not release.path.exists(), "our own copy is out of the way"

    fourth = copy_of(sora, release_at(done.moved[0], release), tmp_path / "fourth.mp4", shifted)
    target = tmp_path / "again.mp4"
    with pytest.raises(Blocked) as refused:
        sora.protect(fourth, prompt=PROMPT, output=target)
    assert [rule.id for rule in refused.value.decision.decisive] == ["stay-down"] and not target.exists()
    with pytest.raises(Blocked):  # generated anew, without any mark
        sora.generate(PROMPT, seconds=4, seed=11, output=target)
    verdict = sora.verify(fourth)
    assert "stay_down" in verdict.notices and verdict.clip_id == release.clip_id

    statement = reasons_for(services, case_id, territories=("DE",))
    assert statement["source_type"] == "SOURCE_ARTICLE_16"
    assert "taken down" in answer_notice(services, case_id, actor="reviewer-rita")

    made = make_dossier(services, case_id, tmp_path / "story.zip", role="court", viewer="reviewer-olga")
    key = tmp_path / "key.vkey"
    key.write_text(services.log.vkey)
    verifier = tmp_path / "verifier.pyz"
    write_verifier(verifier)
    checked = subprocess.run(
        [sys.executable, str(verifier), str(made.path), "--key", str(key)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    answer = json.loads(checked.stdout)
    assert checked.returncode == 0 and answer["holds"], checked
    assert answer["about"] == f"case {case_id}" and answer["policies"] == 1 and answer["payloads"] >= 4
    with zipfile.ZipFile(made.path) as archive:
        kinds = [json.loads(line)["entry"]["kind"] for line in archive.open("entries.jsonl")]
        page = archive.read("page.html").decode()
    story = [
        "request.intent",
        "request.released",
        "case.opened",
        "notice.copies",
        "case.decided",
        "notice.taken_down",
        "stay_down.refused",
        "request.blocked",
        "case.reasons",
        "notice.answered",
    ]
    places = [kinds.index(kind) for kind in story]
    assert places == sorted(places) and kinds.count("stay_down.refused") == 2
    assert "that is me" in page and "refused, known by its" in page and "<script" not in page


def release_at(path: Path, release: Release) -> Any:
    from dataclasses import replace

    return replace(release, path=path)
