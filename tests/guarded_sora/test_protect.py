"""Films of others that are protected: marked, signed, and told from what was given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from guarded_sora import GuardedSora, UsageError, VerdictName
from guarded_sora.media import FrameStream, encode
from tests.guarded_sora.conftest import moving_scene
from tests.guarded_sora.strangers import flip_byte, foreign_signed


def test_protected_films_are_ours_too(sora: GuardedSora, film: Callable[..., Path], tmp_path: Path) -> None:
    source = film(seed=5, frames=24)
    release = sora.protect(source, prompt="shapes drifting over a soft ground", output=tmp_path / "safe.mp4")
    verdict = sora.verify(release.path)
    assert (verdict.verdict, verdict.clip_id) == (VerdictName.OURS_INTACT, release.clip_id)
    (credentials,) = [item for item in verdict.evidence if item.kind == "credentials"]
    assert credentials.detail["source_type"].endswith("compositeWithTrainedAlgorithmicMedia")
    with pytest.raises(UsageError, match="already carries a mark"):
        sora.protect(release.path, prompt="again", output=tmp_path / "twice.mp4")


def test_a_signed_source_is_opened_and_kept_as_parent(
    sora: GuardedSora, film: Callable[..., Path], tmp_path: Path
) -> None:
    signed = tmp_path / "signed.mp4"
    foreign_signed(film(seed=6), signed)
    release = sora.protect(signed, prompt="soft shapes", output=tmp_path / "safe.mp4")
    verdict = sora.verify(release.path)
    assert verdict.verdict is VerdictName.OURS_INTACT
    (credentials,) = [item for item in verdict.evidence if item.kind == "credentials"]
    assert [item["relationship"] for item in credentials.detail["ingredients"]] == ["parentOf"]


def test_the_film_that_was_given_to_protect_is_told_as_what_it_is(
    sora: GuardedSora, film: Callable[..., Path], tmp_path: Path
) -> None:
    source = film(seed=15, frames=24)
    release = sora.protect(source, prompt="soft shapes", output=tmp_path / "safe.mp4")
    verdict = sora.verify(source)
    assert (verdict.verdict, verdict.reason) == (VerdictName.OURS_ALTERED, "source_before_marking")
    assert verdict.clip_id == release.clip_id and "given_to_protect" in verdict.notices
    (given,) = [item for item in verdict.evidence if item.state == "given_to_protect"]
    assert given.detail == {"clips": [str(release.clip_id)]}
    changed = tmp_path / "changed.mp4"
    encode(FrameStream(source, sora.services.worker), changed, crf=23)
    assert sora.verify(changed).reason != "source_before_marking"


def test_a_signed_film_that_was_given_to_protect_is_still_its_signers(
    sora: GuardedSora, film: Callable[..., Path], tmp_path: Path
) -> None:
    signed = tmp_path / "signed.mp4"
    foreign_signed(film(seed=16), signed)
    sora.protect(signed, prompt="soft shapes", output=tmp_path / "safe.mp4")
    verdict = sora.verify(signed)
    assert verdict.verdict is VerdictName.DECLARED_SYNTHETIC
    assert "given_to_protect" in verdict.notices


def test_a_source_whose_credentials_are_broken_is_refused(
    sora: GuardedSora, film: Callable[..., Path], tmp_path: Path
) -> None:
    from guarded_sora import MediaError

    signed = tmp_path / "signed.mp4"
    foreign_signed(film(seed=6), signed)
    flip_byte(signed)
    with pytest.raises(MediaError, match="do not hold"):
        sora.protect(signed, prompt="soft shapes", output=tmp_path / "safe.mp4")
    assert not (tmp_path / "safe.mp4").exists()


def test_audio_is_carried_untouched(sora: GuardedSora, tmp_path: Path) -> None:
    source = tmp_path / "sound.mp4"
    with av.open(str(source), "w") as container:
        video = container.add_stream("libx264", rate=8)
        video.width = video.height = 256
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=44100)
        for frame in moving_scene(8, frames=16):
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode())
        wave = (np.sin(np.arange(44100 * 2) / 20) * 8000).astype(np.int16)[None]
        chunk = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        chunk.sample_rate = 44100
        container.mux(sound.encode(chunk))
        container.mux(sound.encode())

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as opened:
            return [bytes(packet) for packet in opened.demux(opened.streams.audio[0]) if packet.size]

    release = sora.protect(source, prompt="soft shapes", output=tmp_path / "safe.mp4")
    assert packets(release.path) == packets(source)
