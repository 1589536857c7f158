"""Films of a minute: what is still there at the end, whether it moves, whether it only repeats, and memory.

Real films of the world of the same length stand beside ours: what has moved for two seconds turns round
and comes back, so they repeat too. Spinning things are left out, since the judge knows things upright,
and so are bouncing ones, which come to rest.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.generation_films import accuracy, generate, prompts, row
from benchmarks.rows import Row
from guarded_sora.generation.pipeline import BASE_FPS, GuardedSoraPipeline
from guarded_sora.generation.shapes import BASE_SIDE
from guarded_sora.training.judge import Sight, judge, reduced
from guarded_sora.training.world import FRAMES, Film, render

PART = 5
"""Seconds at either end that are judged."""
LEFT_OUT = ("spin", "bounce")
APART = 2 * FRAMES
"""Frames that two pictures must be apart for likeness to count as repetition."""

_MEMORY = r"""
import re, sys, torch
from pathlib import Path
from guarded_sora.generation.backends.builtin import BuiltinBackend
from guarded_sora.generation.contract import GenerationRequest
torch.set_num_threads(1)
size = int(sys.argv[2])
BuiltinBackend().generate(GenerationRequest(
    prompt="a red balloon rising over a sandy beach", seconds=float(sys.argv[1]), steps=1, fps=8.0,
    width=size, height=size))
# Not ru_maxrss: a new program inherits there what the one that started it took.
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) // 1024)
"""


def energy(film: NDArray[np.uint8]) -> float:
    """Mean difference of successive frames, 0 to 255."""
    return float(np.abs(np.diff(film.astype(np.int16), axis=0)).mean())


def novelty(film: NDArray[np.uint8], last: int) -> float:
    """Mean difference of each of the ``last`` frames to the likest of those at least ``APART`` before it."""
    small = reduced(film, 32).reshape(len(film), -1)
    found = [
        np.abs(small[: end - APART] - small[end]).mean(1).min() for end in range(len(film) - last, len(film))
    ]
    return 255 * float(np.mean(found))


def windows(film: NDArray[np.uint8]) -> list[Sight]:
    """What the judge sees in each two seconds of a part."""
    starts = range(0, len(film) - FRAMES + 1, FRAMES - 1)
    return [judge(film[start : start + FRAMES]) for start in starts]


def share(films: list[Film], parts: list[NDArray[np.uint8]]) -> dict[str, float]:
    """Accuracy over all windows of all parts."""
    seen = [windows(part) for part in parts]
    repeated = [film for film, sights in zip(films, seen, strict=True) for _ in sights]
    return accuracy(repeated, [sight for sights in seen for sight in sights])


def long_rows(pipeline: GuardedSoraPipeline, count: int, *, seconds: int = 60, **options: Any) -> list[Row]:
    """The last five seconds of long films beside their first five, and beside real films as long."""
    films = prompts(96, 16, held=True, known=pipeline.concepts)
    films = [film for film in films if film.motion not in LEFT_OUT]
    films = [films[i] for i in np.linspace(0, len(films) - 1, min(count, len(films))).astype(int)]
    frames, part = 1 + seconds * int(BASE_FPS), 1 + PART * int(BASE_FPS)
    made = generate(pipeline, films, num_frames=frames, frame_rate=BASE_FPS, height=BASE_SIDE,
                    width=BASE_SIDE, **options)  # fmt: skip
    made = [film[:frames] for film in made]
    first, last = (share(films, [film[at] for film in made]) for at in (slice(part), slice(-part, None)))
    rows = []
    for kind in ("object", "colour", "background"):
        rows.append(row(f"{kind}, last {PART} s of {seconds} s", last[kind], first[kind],
                        f"first {PART} s of the same films", "higher", "share"))  # fmt: skip
    real = [render(film, side=BASE_SIDE, count=frames)[0] for film in films]
    for name, value in (
        (f"motion energy, last {PART} s of {seconds} s", lambda film: energy(film[-part:])),
        (f"difference to the likest earlier frame, last {PART} s of {seconds} s",
         lambda film: novelty(film, part)),
    ):  # fmt: skip
        ours, true = (float(np.mean([value(film) for film in group])) for group in (made, real))
        rows.append(row(name, ours, true, "real films of that length", "near 1", "of 255"))
    return rows


def memory_rows() -> list[Row]:
    """Peak memory of making films of 2, 20 and 60 s with one step a pass, each in a process of its own."""
    rows, least = [], None
    for seconds in (2, 20, 60):
        done = subprocess.run(
            [sys.executable, "-c", _MEMORY, str(seconds), str(BASE_SIDE)], capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        peak = float(done.stdout.split()[-1])
        least = least or peak
        rows.append(
            row(f"peak memory, {seconds} s at {BASE_SIDE}x{BASE_SIDE}", peak, least, "2 s", "lower", "MB")
        )
    return rows
