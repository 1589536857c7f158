"""The benchmark's own instruments: what it calls quality, and the reader that has only a key."""

from argparse import Namespace

import numpy as np
import pytest

from benchmarks.attacks import Film
from benchmarks.watermark import Result, _report
from benchmarks.watermark_marks import Ours, OursInFreshHome
from benchmarks.watermark_quality import equal_size, quality, xpsnr
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


def test_a_mark_costs_nothing_where_there_is_none_and_noise_costs_something() -> None:
    same = equal_size(FILM, FILM)
    assert same == pytest.approx({"psnr dB": 0.0, "ssim": 0.0, "size": 1.0}, abs=1e-9)
    noise = np.random.default_rng(2).normal(0, 3.0, FILM.frames.shape[1:3])[None, :, :, None]
    noisy = equal_size(FILM, Film(frames=np.clip(FILM.frames + noise, 0, 255).astype(np.uint8), fps=8.0))
    assert noisy["psnr dB"] < -1.0 and noisy["ssim"] < 0.0 and noisy["size"] > 1.05


def test_a_process_with_only_the_key_reads_what_this_one_reads() -> None:
    fresh, here = OursInFreshHome(42.0), Ours(42.0)
    marked = here.embed(FILM, 0x42)
    assert fresh.read(marked, 0x42)[0]
    assert fresh.read(marked, 0x43)[:2] == (False, True)
    assert fresh.read(FILM, 0x42)[:2] == (False, False)
    assert fresh.read(marked, 0x42)[2] == here.read(marked, 0x42)[2]
    fresh.close()


def test_a_peer_is_reported_without_ours_beside_it() -> None:
    options = Namespace(tuning=False, lines=480, seconds=2.0, fps=8.0, psnr=42.0)
    result = Result(
        mark="peer", clip="a", cell="none", kind="single", accepted=True, wrong=False,
        log10_p=-9.6, bit_accuracy=1.0, kbps=0.0,
    )  # fmt: skip
    report = _report([result], {"x264 psnr dB": [41.0], "x264 ssim": [0.98]}, ["a"], [], options)
    assert report["failed"] == [] and report["equal_size"] == []
    assert not [row for row in report["rows"] if "worst clip" in row.metric]
