"""A disk that fills up, and places that cannot be written: one sentence, nothing lost, nothing released."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guarded_sora import GuardedSora, GuardedSoraError, MediaError
from tests.guarded_sora.conftest import Painter, moving_scene

PROMPT = "a red balloon rising over a sandy beach"


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process may grow beyond ``size`` bytes: writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_while_the_film_is_written(home: Path, tmp_path: Path) -> None:
    """The disk is full from the moment the frames are made: neither film nor log can grow."""
    limit = room_for(4096)

    def last_frames(request: Any) -> np.ndarray:
        limit.__enter__()
        return moving_scene(request.seed)

    with GuardedSora.open(home=home, backend=Painter(last_frames)) as sora:
        try:
            with pytest.raises(GuardedSoraError) as caught:
                sora.generate(PROMPT, output=tmp_path / "clip.mp4")
        finally:
            limit.__exit__(None, None, None)
        assert str(caught.value).endswith(".")
        assert not list(tmp_path.glob("*.mp4")) and not list(home.rglob("*.mp4"))
        kinds = [entry.kind for entry in sora.services.log.tail(50)]
        assert "request.released" not in kinds and kinds[0] == "request.intent"
        assert sora.services.log.verify().ok
    # With room again the same installation works on, with everything it had.
    with GuardedSora.open(home=home, backend=Painter()) as sora:
        release = sora.generate(PROMPT, output=tmp_path / "clip.mp4")
        assert sora.verify(release.path).verdict == "ours_intact"


def test_a_full_disk_from_the_start_refuses_the_intent(sora: GuardedSora, tmp_path: Path) -> None:
    with room_for(4096), pytest.raises(GuardedSoraError):
        sora.generate(PROMPT, output=tmp_path / "clip.mp4")
    assert not list(tmp_path.glob("*.mp4"))
    assert sora.services.log.verify().ok


def test_a_place_that_turns_out_unwritable_is_undone(sora: GuardedSora) -> None:
    """/proc looks like a folder and takes no files, whoever asks."""
    with pytest.raises(MediaError):
        sora.generate(PROMPT, output=Path("/proc/clip.mp4"))
    kinds = [entry.kind for entry in sora.services.log.tail(50)]
    assert kinds[-1] in ("release.undone", "request.failed")
    numbers = [entry.body["clip_id"] for entry in sora.services.log.search(kind="request.released")]
    for text in numbers:
        from guarded_sora.provenance.clip_id import ClipId
        from guarded_sora.store import ClipState

        record = sora.services.store.by_id(ClipId.parse(text))
        assert record is not None and record.state is ClipState.WITHDRAWN
