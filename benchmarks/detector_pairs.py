"""The pairs that the detector is measured on: a film, the same through a decoder, and both after changes.

Films of the held-out decoders are as the detector gets a clip: 256 pixels, 2.25 s, scored by the mean over
two windows of two blocks; every decoder gets each source once, a slow one every second source. Changes are
made to every second pair. Those looked at before are of 160 pixels and
1.1 s, one block a film. Of each film the benchmark keeps the blocks that are looked at, the frames that
others look at, and what is not in the pixels; films are made once, and any model can be asked about them
again.
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

from benchmarks.detector_films import HELD_OUT, LOOKED_AT, PUBLISHED, camera_films, photos, published
from benchmarks.detector_peers import pictures, second_difference
from guarded_sora.detectors.synthetic.features import FRAMES, SIDE
from guarded_sora.media.recompress import recompress
from guarded_sora.training.detector_camera import Photo, load_photos
from guarded_sora.training.detector_decoders import Decoder, Film
from guarded_sora.training.detector_pairs import SEEN_FPS, Clip, blocks, draw_law, make_pair

FAMILIES = (*LOOKED_AT, *HELD_OUT)  # the place of each is part of its seed
WINDOWS = 2
_SEED = 20_000
_SIDE, _SMALL_SIDE = 256, 160
_SLOW = ("real-esrgan-x4plus",)  # more than a CPU second a frame
_LARGEST = {"carphone": 144}
"""What a camera film has itself: none is enlarged."""

Cut = Callable[[np.random.Generator, int, int], Film]


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
    if importlib.util.find_spec("diffusers") is None:
        return None
    if family == "own":
        from guarded_sora.training.detector import packaged_autoencoder
        from guarded_sora.training.detector_networks import own_autoencoder

        return own_autoencoder(packaged_autoencoder())
    if options.photos is None:
        return None
    from benchmarks.detector_autoencoders import autoencoder

    path = options.cache / "networks" / f"{family}.safetensors"
    return autoencoder(list(load_photos(options.photos).values()), path)


def gather(family: str, options: argparse.Namespace) -> bool:
    """Make and measure the pairs of a family, once; False where its decoder is not there."""
    path = options.cache / f"{family}.npz"
    if path.is_file():
        return True
    decoder = decoder_of(family, options)
    if decoder is None:
        return False
    make = _small_pair if family in LOOKED_AT else _pair
    shown, films = photos(), camera_films()
    count = options.pairs if family in LOOKED_AT else min(options.pairs, len(shown) + len(films))
    rows: list[dict[str, Any]] = []
    for number in range(0, count, 2 if family in _SLOW else 1):
        source, clips = make(family, decoder, number, shown, films)
        for clip in clips:
            rows.append(
                {
                    "source": source,
                    "synthetic": int(clip.synthetic),
                    "bytes": clip.bytes,
                    "side": clip.frames.shape[1],
                    "fps": clip.law.fps,
                    "length": len(clip.frames),
                    "codec": [codec for codec, _ in clip.law.codecs][-1],
                    "plain": _seen(clip.frames),
                    "second_difference": second_difference(clip.frames),
                    "pictures": pictures(clip.frames),
                    **{
                        f"changed {name}": _changed(clip.frames, change, made=number % 2 == 0)
                        for name, change in CHANGES.items()
                    },
                }
            )
    options.cache.mkdir(parents=True, exist_ok=True)
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    np.savez(path, **columns)  # type: ignore[arg-type]
    return True


def _pair(
    family: str, decoder: Decoder, number: int, shown: dict[str, Photo], films: dict[str, Cut]
) -> tuple[str, tuple[Clip, Clip]]:
    """The pair of the source of this number: the photographs, then the camera films."""
    rng = np.random.default_rng([_SEED, FAMILIES.index(family), number])
    names = [*shown, *sorted(films)]
    source = names[number]
    law = draw_law(rng)
    law = replace(law, side=_SIDE, fps=SEEN_FPS, scale=law.scale if law.side == _SMALL_SIDE else 1.0)
    real = None
    if source in films:
        if source in _LARGEST:
            law = replace(law, side=_LARGEST[source], scale=1.0)
        real = films[source](rng, FRAMES * WINDOWS, law.side)
    index = min(number, len(shown) - 1)
    pictures = list(shown.values())
    clips = make_pair(pictures, index, decoder, rng, pair=number, law=law, real=real, windows=WINDOWS)
    return source, clips


def _small_pair(
    family: str, decoder: Decoder, number: int, shown: dict[str, Photo], films: dict[str, Cut]
) -> tuple[str, tuple[Clip, Clip]]:
    """Every sixth pair starts from a film of a camera, the others from a photograph drawn by chance."""
    rng = np.random.default_rng([_SEED, FAMILIES.index(family), number])
    law = draw_law(rng)
    if law.side != _SMALL_SIDE:
        law = replace(law, side=_SMALL_SIDE, scale=1.0)
    index = int(rng.integers(len(shown)))
    source, real = list(shown)[index], None
    if number % 6 == 5:
        source = sorted(films)[number // 6 % len(films)]
        real = films[source](rng, round(FRAMES * law.fps / SEEN_FPS), law.side)
    return source, make_pair(list(shown.values()), index, decoder, rng, pair=number, law=law, real=real)


def _seen(film: Film, *, windows: int = WINDOWS) -> NDArray[np.uint8]:
    """The blocks that the detector looks at, uint8 (windows * 2, 9, 128, 128); zero where there is none."""
    found = np.zeros((2 * windows, FRAMES, SIDE, SIDE), np.uint8)
    for window in range(min(windows, len(film) // FRAMES)):
        for place, block in enumerate(blocks(film[window * FRAMES : (window + 1) * FRAMES])):
            found[2 * window + place] = block.astype(np.uint8)
    return found


def _changed(film: Film, change: Callable[[Film], Film], *, made: bool) -> NDArray[np.uint8]:
    """The blocks of the first window after a change; all zero where it is not ``made``, or the film is then
    too small to be judged."""
    return _seen(change(film[:FRAMES]) if made else film[:0], windows=1)
