"""Which frames a slow network looks at: what sampling costs, and how often it misses a short flash.

    python -m benchmarks.sampling [--json] [--films 200] [--flash 0.3]

Films of two seconds at 24 frames a second: painted scenes that stand still, move, or are cut twice a
second. Into each a flash is put at a random place: another picture over the whole frame, or over a
ninth of it. A flash is seen when one of the frames looked at lies in it. The peer is the grid alone
at the same and at higher rates. ``cpu`` is what choosing costs; what a look costs depends on the
network: with the extra ``[detect]`` that of open_nsfw is measured.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import time
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.cpu_time import median_cpu_ms
from benchmarks.rows import Row, print_report, print_rows, row
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.likeness import RATE as LIKENESS_RATE
from guarded_sora.detectors.sampling import RATE, STANDS_OUT, looks

SEED = 20261122
FPS = 24.0
SECONDS = 2
SIZE = (64, 96)  # height, width
SCENES = ("still", "moving", "cut")
FLASHES = ("whole frame", "a ninth")
WAYS: dict[str, tuple[float, float, int]] = {
    "unsafe: 4 + 1": (RATE, STANDS_OUT, 1),
    "faces: 1 + 2": (LIKENESS_RATE, STANDS_OUT, 2),
    "2 + 2": (2.0, STANDS_OUT, 2),
    "grid 1": (1.0, math.inf, 0),
    "grid 2": (2.0, math.inf, 0),
    "grid 4": (4.0, math.inf, 0),
    "grid 8": (8.0, math.inf, 0),
}
"""Frames a second of the grid, and how many more an interval may add: as the checks use it, and peers."""

PEERS = {"unsafe: 4 + 1": "grid 4", "faces: 1 + 2": "grid 1"}


def picture(random: np.random.Generator) -> NDArray[np.uint8]:
    """A painted picture: coarse colours, made smooth."""
    coarse = random.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (SIZE[1], SIZE[0]), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def film(scene: str, random: np.random.Generator) -> NDArray[np.uint8]:
    """uint8 (T, H, W, 3): a scene that stands still, moves four pixels a frame, or is cut twice a second."""
    count = round(SECONDS * FPS)
    if scene == "cut":
        parts = [picture(random) for _ in range(2 * SECONDS)]
        return np.stack([parts[min(index * len(parts) // count, len(parts) - 1)] for index in range(count)])
    base = picture(random)
    if scene == "moving":
        return np.stack([np.roll(base, 4 * index, axis=1) for index in range(count)])
    noise = random.normal(0, 2, (count, *base.shape))
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def flashed(
    frames: NDArray[np.uint8], flash: str, seconds: float, random: np.random.Generator
) -> tuple[float, float]:
    """Put a flash into ``frames``; returns the times in seconds between which it stands."""
    length = max(round(seconds * FPS), 1)
    first = int(random.integers(0, len(frames) - length + 1))
    other = picture(random)
    if flash == "whole frame":
        frames[first : first + length] = other
    else:
        height, width = SIZE[0] // 3, SIZE[1] // 3
        top, left = int(random.integers(0, 2 * height)), int(random.integers(0, 2 * width))
        frames[first : first + length, top : top + height, left : left + width] = other[:height, :width]
    return first / FPS, (first + length - 1) / FPS


def measure(scene: str, flash: str, count: int, seconds: float) -> dict[str, dict[str, float]]:
    """For every way of sampling: share of flashes missed, looks and CPU milliseconds for a second of film."""
    random = np.random.default_rng([SEED, SCENES.index(scene), FLASHES.index(flash)])
    missed = dict.fromkeys(WAYS, 0)
    looked = dict.fromkeys(WAYS, 0)
    spent = dict.fromkeys(WAYS, 0.0)
    for _ in range(count):
        frames = film(scene, random)
        begin, end = flashed(frames, flash, seconds, random)
        batch = FrameBatch(frames=frames, times=np.arange(len(frames)) / FPS, fps=FPS)
        for way, (rate, stands_out, extra) in WAYS.items():
            start = time.process_time()
            found = looks([batch], rate=rate, stands_out=stands_out, most_extra=extra)
            times = [look.time for look in found]
            spent[way] += time.process_time() - start
            looked[way] += len(times)
            missed[way] += not any(begin - 1e-6 <= moment <= end + 1e-6 for moment in times)
    film_seconds = count * SECONDS
    return {
        way: {
            "missed": missed[way] / count,
            "looks a second": looked[way] / film_seconds,
            "cpu ms a second": 1000.0 * spent[way] / film_seconds,
        }
        for way in WAYS
    }


def look_ms() -> float | None:
    """CPU milliseconds of one look of open_nsfw; None without the extra."""
    from guarded_sora.detectors.cards import Network
    from guarded_sora.detectors.unsafe import open_nsfw_card, packaged_open_nsfw

    weights = packaged_open_nsfw()
    if weights is None:
        return None
    network = Network(open_nsfw_card(weights))
    frame = np.random.default_rng(SEED).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    return median_cpu_ms(lambda: network.classify(frame))


def run(count: int, seconds: float) -> tuple[list[Row], dict[str, Any]]:
    detail: dict[str, Any] = {
        f"{scene}, {flash}": measure(scene, flash, count, seconds) for scene in SCENES for flash in FLASHES
    }
    rows = [
        row(f"{way}: {metric} ({case})", result[way][metric], result[peer][metric], peer, "lower", unit)
        for case, result in detail.items()
        for way, peer in PEERS.items()
        for metric, unit in (("missed", "share"), ("looks a second", "frames"), ("cpu ms a second", "ms"))
    ]
    look = look_ms()
    if look is not None:
        rows.append(row("one look of open_nsfw", look, better="lower", unit="ms", digits=1))
    return rows, detail


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--films", type=int, default=200)
    parser.add_argument("--flash", type=float, default=0.3, help="Its length in seconds.")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    rows, detail = run(given.films, given.flash)
    if given.json:
        environment = {"python": platform.python_version(), "films": given.films, "flash_s": given.flash}
        print_report("sampling", environment, rows, detail=detail)
        return
    print(f"{given.films} films for each case, flash of {given.flash} s; missed / looks a second")
    print(f"{'film, flash':<22}" + "".join(f"{way:>16}" for way in WAYS))
    for case, result in detail.items():
        cells = (f"{result[way]['missed']:.3f} / {result[way]['looks a second']:.1f}" for way in WAYS)
        print(f"{case:<22}" + "".join(f"{cell:>16}" for cell in cells))
    spent = (statistics.mean(result[way]["cpu ms a second"] for result in detail.values()) for way in WAYS)
    print(f"{'cpu ms a second':<22}" + "".join(f"{value:>16.2f}" for value in spent))
    print_rows(item for item in rows[-1:] if item.peer is None)


if __name__ == "__main__":
    main()
