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
from guarded_sora.training.detector_decoders import CLOSED_FORM, TEXTURED, Decoder, closed_form, textured
from guarded_sora.training.detector_fit import Measured
from guarded_sora.training.detector_pairs import SEEN_FPS, Clip, blocks, draw_law, make_pair

_PART = 20
_NETWORK_SIDE = 160
_NEAR_FROM = 40
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

    data = gather(out)
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
    from guarded_sora.training import detector_networks, detector_recipes

    if family == "own":
        place = Path(config.own) if config.own else packaged_autoencoder()
        return [detector_networks.own_autoencoder(place)]
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

    Films are of 160 pixels: larger ones take a network three times as long. The later ones of a family
    go close, so that a soft picture alone is not taken for a decoded one.
    """
    rows: Rows = {}
    for number in numbers:
        family = decoders[0].family
        rng = np.random.default_rng([seed, zlib.crc32(family.encode()), number])
        decoder = decoders[int(rng.integers(len(decoders)))]
        law = draw_law(rng)
        if law.side != _NETWORK_SIDE:
            law = dataclasses.replace(law, side=_NETWORK_SIDE, scale=1.0)
        index = int(rng.integers(len(pictures)))
        real = None
        if number >= _NEAR_FROM:
            count = round(FRAMES * law.fps / SEEN_FPS)
            real = film(pictures, index, rng, frames=count, side=law.side, near=True)
        pair = make_pair(pictures, index, decoder, rng, pair=number, law=law, real=real)
        _add(rows, pair, names[index])
    return rows


def packaged_autoencoder() -> Path:
    """Where the video autoencoder of the built-in generator lies."""
    from guarded_sora import generation

    return Path(generation.__file__).parent / "weights" / "autoencoder"


def _add(rows: Rows, pair: Sequence[Clip], source: str) -> None:
    for clip in pair:
        block = blocks(clip.frames)[0]
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
