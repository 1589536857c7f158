"""The benchmark's own instruments: what it calls quality, and the reader that has only a key."""

import numpy as np

from benchmarks.attacks import Film
from benchmarks.watermark_marks import Ours, OursInFreshHome
from benchmarks.watermark_quality import quality, xpsnr
from tests.guarded_sora.provenance.watermark.films import textured

FILM = Film(frames=textured(count=8, size=(180, 320)), fps=8.0)


def test_quality_falls_with_noise() -> None:
    rng = np.random.default_rng(1)
    noisy = [
        Film(
            frames=np.clip(FILM.frames + rng.normal(0, s, FILM.frames.shape), 0, 255).astype(np.uint8),
            fps=8.0,
        )
        for s in (2.0, 6.0)
    ]
    little, much = (quality(FILM, film) for film in noisy)
    assert all(little[name] > much[name] for name in little)
    assert 41.0 < little["rgb psnr dB"] < 43.0
    assert xpsnr(FILM, FILM) > 80.0


def test_a_process_with_only_the_key_reads_what_this_one_reads() -> None:
    fresh, here = OursInFreshHome(42.0), Ours(42.0)
    marked = here.embed(FILM, 0x42)
    assert fresh.read(marked, 0x42)[0]
    assert fresh.read(marked, 0x43)[:2] == (False, True)
    assert fresh.read(FILM, 0x42)[:2] == (False, False)
    assert fresh.read(marked, 0x42)[2] == here.read(marked, 0x42)[2]
    fresh.close()
