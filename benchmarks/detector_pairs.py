"""The pairs that the detector is measured on: a film, the same through a decoder, and both after changes.

Of each film the benchmark keeps the block that is looked at and what is not in the pixels; films are
made once, and any model can be asked about them again.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.detector_films import PUBLISHED, camera_films, photos, published
from guarded_sora.detectors.synthetic.features import FRAMES, SIDE
from guarded_sora.media.recompress import recompress
from guarded_sora.training.detector_decoders import Decoder, Film
from guarded_sora.training.detector_pairs import Law, blocks, draw_law, make_pair

FAMILIES = (*PUBLISHED, "own")  # the place of each is part of its seed
_SEED = 20_000


def _once_more(codec: str, quality: int) -> Callable[[Film], Film]:
    return lambda film: recompress(film, fps=8.0, codec=codec, quality=quality).frames  # type: ignore[arg-type]


def _smaller(film: Film) -> Film:
    side = film.shape[1] // 4 * 2
    return np.stack([np.asarray(cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA)) for f in film])


def _cropped(film: Film) -> Film:
    edge = film.shape[1] // 10
    part = film[:, edge : film.shape[1] - edge, edge : film.shape[1] - edge]
    even = part.shape[1] // 2 * 2
    return _once_more("h264", 23)(np.ascontiguousarray(part[:, :even, :even]))


def _noised(film: Film) -> Film:
    drawn = np.random.default_rng(1).normal(0, 3.0, film.shape)
    return _once_more("h264", 23)(np.clip(film + drawn + 0.5, 0, 255).astype(np.uint8))


def _sharpened(film: Film) -> Film:
    made = [f + 0.8 * (f.astype(np.float32) - cv2.GaussianBlur(f, (0, 0), 1.0)) for f in film]
    return _once_more("h264", 23)(np.clip(np.stack(made) + 0.5, 0, 255).astype(np.uint8))


CHANGES: dict[str, Callable[[Film], Film]] = {
    "crf 23": _once_more("h264", 23),
    "crf 28": _once_more("h264", 28),
    "crf 33": _once_more("h264", 33),
    "GIF": _once_more("gif", 128),
    "crop 80 %": _cropped,
    "half size": _smaller,
    "noise added on purpose": _noised,
    "sharpened on purpose": _sharpened,
}


def decoder_of(family: str, options: argparse.Namespace) -> Decoder | None:
    """The decoder of a family, or None where what it needs is not there."""
    if family in PUBLISHED:
        there = options.networks is not None and importlib.util.find_spec("ncnn") is not None
        return published(family, options.networks) if there else None
    if importlib.util.find_spec("torch") is None:
        return None
    from guarded_sora.training.detector_networks import own_autoencoder

    return own_autoencoder(options.own)


def gather(family: str, options: argparse.Namespace) -> bool:
    """Make and measure the pairs of a family, once; False where its decoder is not there."""
    path = options.cache / f"{family}.npz"
    if path.is_file():
        return True
    decoder = decoder_of(family, options)
    if decoder is None:
        return False
    shown = photos()
    names, pictures = list(shown), list(shown.values())
    films = camera_films()
    rows: list[dict[str, Any]] = []
    for number in range(options.pairs):
        rng = np.random.default_rng([_SEED, FAMILIES.index(family), number])
        law = _law(rng, large=family == "own")
        # Every sixth pair starts from a film of a camera, the others from a moved photograph.
        index = int(rng.integers(len(pictures)))
        source, real = names[index], None
        if number % 6 == 5:
            source = sorted(films)[number // 6 % len(films)]
            real = films[source](rng, round(FRAMES * law.fps / 8.0), law.side)
        clips = make_pair(pictures, index, decoder, rng, pair=number, law=law, real=real)
        for clip in clips:
            rows.append(
                {
                    "source": source,
                    "synthetic": int(clip.synthetic),
                    "bytes": clip.bytes,
                    "side": clip.frames.shape[1],
                    "fps": law.fps,
                    "length": len(clip.frames),
                    "codec": [codec for codec, _ in law.codecs][-1],
                    "plain": _block(clip.frames),
                    "second_difference": second_difference(clip.frames),
                    **{f"changed {name}": _changed(clip.frames, change) for name, change in CHANGES.items()},
                }
            )
    options.cache.mkdir(parents=True, exist_ok=True)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    np.savez(path, **columns)  # type: ignore[arg-type]
    return True


def _law(rng: np.random.Generator, *, large: bool) -> Law:
    """The law of training; large films only where the decoder makes them anyway, which saves hours."""
    law = draw_law(rng)
    if large:
        return replace(law, side=256, scale=1.0)
    return law if law.side == 160 else replace(law, side=160, scale=1.0)


def _block(film: Film) -> NDArray[np.uint8]:
    """The block that the detector looks at, uint8 (9, 128, 128)."""
    return blocks(film)[0].astype(np.uint8)


def _changed(film: Film, change: Callable[[Film], Film]) -> NDArray[np.uint8]:
    """The block after a change; all zero where the film is then too small to be judged."""
    seen = change(film)
    if min(seen.shape[1:3]) < SIDE:
        return np.zeros((FRAMES, SIDE, SIDE), np.uint8)
    return _block(seen)


def second_difference(film: Film) -> float:
    """Minus the spread of the second difference of successive frames (Zheng et al., ICCV 2025), on pixels."""
    small = np.stack(
        [
            cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
            for f in film
        ]
    ).reshape(len(film), -1)
    z = small.astype(np.float64) - small.mean(1, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True) + 1e-9
    return -float(np.diff(np.linalg.norm(np.diff(z, axis=0), axis=1)).std())
