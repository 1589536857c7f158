"""Trains the detector's packaged model: ``train("detector", out=..., photos=FOLDER)``.

Pairs are made one after the other, each from its own seed, and kept in parts with their measurements,
so a run that was stopped goes on where it was. Photographs are the operator's to give: those of the
shipped model stand with their licences on the model card.
"""

from __future__ import annotations

import dataclasses
import json
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from guarded_sora.detectors.synthetic.features import FRAMES, measure
from guarded_sora.errors import UsageError
from guarded_sora.training.config import DetectorConfig
from guarded_sora.training.detector_camera import Photo, film, load_photos
from guarded_sora.training.detector_decoders import (
    CLOSED_FORM,
    TEXTURED,
    Decoder,
    Film,
    closed_form,
    textured,
)
from guarded_sora.training.detector_detail import MATCHED, PROCESSED, matched, processed, seen_once_more
from guarded_sora.training.detector_fit import Measured
from guarded_sora.training.detector_pairs import SEEN_FPS, Clip, blocks, draw_law, make_pair

_PART = 20
_NETWORK_SIDE = 160
_CLIP_SIDE, _CLIP_WINDOWS, _CLIP_EVERY = 256, 2, 4
_NEAR = 0.3
_COLUMNS = ("features", "blocks", "synthetic", "source", "family", "pair")

Rows = dict[str, list[Any]]


def train_detector(out: Path, config: DetectorConfig) -> Path:
    """Make the pairs, fit, calibrate; returns the folder that holds ``triage.json``.

    Raises:
        UsageError: there are no photographs to train on.
    """
    make_parts(out, config)
    # Late: torch is an extra, and making pairs in closed form does without it.
    from guarded_sora.training.detector_stack import put_together

    data = seen_once_more(gather(out), seed=config.seed)
    export = out / "export"
    export.mkdir(exist_ok=True)
    (export / "triage.json").write_bytes(put_together(data, config))
    return export


def make_parts(out: Path, config: DetectorConfig) -> None:
    """Make what is not there yet of the pairs, a part of each family in turn.

    Raises:
        UsageError: no photographs, or a family that nobody knows.
    """
    photos = load_photos(Path(config.photos))
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    names, pictures = list(photos), list(photos.values())
    decoders: dict[str, Sequence[Decoder]] = {}
    most = max((count for _, count in config.decoders), default=0)
    for start in range(0, most, _PART):
        for family, count in config.decoders:
            part = out / f"pairs-{family}-{start:05d}.npz"
            if start >= count or part.is_file():
                continue
            if family not in decoders:
                decoders[family] = members(family, pictures, out / "networks", config)
            numbers = range(start, min(start + _PART, count))
            _write(part, _rows(names, pictures, numbers, decoders[family], config.seed))


def members(family: str, photos: Sequence[Photo], folder: Path, config: DetectorConfig) -> Sequence[Decoder]:
    """The decoders of a family; networks are kept in ``folder``.

    Raises:
        UsageError: a family that nobody knows.
    """
    if family in CLOSED_FORM:
        return [each for each in closed_form(photos, seed=config.seed) if each.family == family]
    if family in TEXTURED:
        return [each for each in textured(photos, seed=config.seed) if each.family == family]
    # Late: torch is an extra, and the decoders in closed form do without it.
    from guarded_sora.training import detector_coders, detector_networks, detector_recipes

    if family == "own":
        place = Path(config.own) if config.own else packaged_autoencoder()
        return [detector_networks.own_autoencoder(place)]
    if family == detector_coders.FAMILY:
        return detector_coders.coders(photos, folder, steps=config.coder_steps)
    if family not in detector_recipes.FAMILIES:
        raise UsageError(f"There is no decoder family {family[:40]!r}.")
    return [
        detector_recipes.made_by(
            recipe, photos, folder / f"{family}-{number}.safetensors", steps=config.network_steps
        )
        for number, recipe in enumerate(detector_recipes.recipes(family))
    ]


def _rows(
    names: Sequence[str],
    pictures: Sequence[Photo],
    numbers: Iterable[int],
    decoders: Sequence[Decoder],
    seed: int,
) -> Rows:
    """Pairs of these numbers, each drawn from its own seed: first its decoder, then its law and picture.

    Most films are of 160 pixels and one window, since larger ones take a network longer; every fourth is as
    the detector gets a clip. Some go close or come from a camera that cleans its pictures, so that a soft
    or a smooth picture alone is not taken for a decoded one.
    """
    rows: Rows = {}
    for number in numbers:
        family = decoders[0].family
        rng = np.random.default_rng([seed, zlib.crc32(family.encode()), number])
        decoder = decoders[int(rng.integers(len(decoders)))]
        law = draw_law(rng)
        windows = _CLIP_WINDOWS if number % _CLIP_EVERY == 0 else 1
        side = _CLIP_SIDE if windows > 1 else _NETWORK_SIDE
        if law.side != _NETWORK_SIDE:
            law = dataclasses.replace(law, scale=1.0)
        law = dataclasses.replace(law, side=side, fps=SEEN_FPS if windows > 1 else law.fps)
        index = int(rng.integers(len(pictures)))
        count = round(FRAMES * windows * law.fps / SEEN_FPS)
        real = film(pictures, index, rng, frames=count, side=side, near=rng.random() < _NEAR)
        if rng.random() < PROCESSED:
            real = processed(real, rng)
        if rng.random() < MATCHED / 2:  # a camera's detail is of no fixed strength either
            real = matched(real, real, rng)
        pair = make_pair(
            pictures, index, _strengthened(decoder), rng, pair=number, law=law, real=real, windows=windows
        )
        _add(rows, pair, names[index])
    return rows


def _strengthened(decoder: Decoder) -> Decoder:
    """The decoder, and for some films detail of another strength after it."""

    def apply(seen: Film, rng: np.random.Generator) -> Film:
        made = decoder.apply(seen, rng)
        return matched(made, seen, rng) if rng.random() < MATCHED else made

    return Decoder(family=decoder.family, apply=apply)


def packaged_autoencoder() -> Path:
    """Where the video autoencoder of the built-in generator lies."""
    from guarded_sora import generation

    return Path(generation.__file__).parent / "weights" / "autoencoder"


def _add(rows: Rows, pair: Sequence[Clip], source: str) -> None:
    """The blocks of both clips in turn: the real one, then the synthetic one of the same place."""
    for start in range(0, len(pair[0].frames), FRAMES):
        for places in zip(*(blocks(clip.frames[start : start + FRAMES]) for clip in pair), strict=True):
            for clip, block in zip(pair, places, strict=True):
                values = (
                    measure(block),
                    block.astype(np.uint8),
                    int(clip.synthetic),
                    source,
                    clip.family,
                    f"{clip.family}-{clip.pair}",
                )
                for name, value in zip(_COLUMNS, values, strict=True):
                    rows.setdefault(name, []).append(value)


def _write(part: Path, rows: Rows) -> None:
    fresh = part.with_suffix(".tmp.npz")
    np.savez(fresh, **{name: np.array(values) for name, values in rows.items()})  # type: ignore[arg-type]
    os.replace(fresh, part)


def gather(folder: Path) -> Measured:
    """The blocks of all parts of a run with their measurements; synthetic follows real within a pair."""
    parts = [np.load(path) for path in sorted(folder.glob("pairs-*.npz")) if ".tmp" not in path.name]
    return Measured(**{name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS})
