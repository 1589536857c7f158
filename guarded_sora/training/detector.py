"""Trains the detector's packaged model: ``train("detector", out=..., photos=FOLDER)``.

Pairs are made one after the other, each from its own seed, and their measurements kept in parts, so a
run that was stopped goes on where it was. Photographs are the operator's to give: those of the shipped
model stand with their licences on the model card.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from guarded_sora.detectors.synthetic.features import measure
from guarded_sora.training.config import DetectorConfig
from guarded_sora.training.detector_camera import Photo, load_photos
from guarded_sora.training.detector_decoders import CLOSED_FORM, Decoder, closed_form, textured
from guarded_sora.training.detector_fit import Measured, calibrated
from guarded_sora.training.detector_pairs import Clip, blocks, draw_law, make_pair

_PART, _NETWORK_PART = 20, 8
_NETWORK_SIDE = 160
_TEXTURED = 1
_CODES = {"own": 2, "tiny": 3}
"""Families of networks that are trained on, and their place in the seed."""

Rows = dict[str, list[Any]]


def train_detector(out: Path, config: DetectorConfig) -> Path:
    """Make the pairs, fit, calibrate; returns the folder that holds ``triage.json``.

    Raises:
        UsageError: there are no photographs to train on.
    """
    photos = load_photos(Path(config.photos))
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    names, pictures = list(photos), list(photos.values())
    for name, count, seed, make, pick in (
        ("pairs", config.pairs, [config.seed], closed_form, partial(_of_a_family, config)),
        ("textured", config.textured_pairs, [config.seed, _TEXTURED], textured, _any),
    ):
        decoders: list[Decoder] = []
        for start in range(0, count, _PART):
            part = out / f"{name}-{start:05d}.npz"
            if part.is_file():
                continue
            decoders = decoders or make(pictures, seed=config.seed)
            numbers = range(start, min(start + _PART, count))
            _write(part, _rows(names, pictures, numbers, seed, partial(pick, decoders)))
    for family in config.networks:
        waiting = [
            start
            for start in range(0, config.network_pairs, _NETWORK_PART)
            if not (out / f"more-{family}-{start:05d}.npz").is_file()
        ]
        if waiting:
            decoder = _network(family, pictures, out, config)
        for start in waiting:
            rows = _network_rows(names, pictures, decoder, config, start)
            _write(out / f"more-{family}-{start:05d}.npz", rows)
    data = gather(out)
    export = out / "export"
    export.mkdir(exist_ok=True)
    (export / "triage.json").write_bytes(
        calibrated(data, ridge=config.ridge, version=config.version, held_out_auc=config.held_out_auc)
    )
    return export


def _rows(
    names: Sequence[str],
    pictures: Sequence[Photo],
    numbers: Iterable[int],
    seed: Sequence[int],
    pick: Callable[[np.random.Generator], Decoder],
) -> Rows:
    """Pairs of these numbers, each drawn from its own seed: first its decoder, then its picture and law."""
    rows: Rows = {}
    for number in numbers:
        rng = np.random.default_rng([*seed, number])
        decoder = pick(rng)
        index = int(rng.integers(len(pictures)))
        pair = make_pair(pictures, index, decoder, rng, pair=number, law=draw_law(rng))
        _add(rows, pair, names[index])
    return rows


def _of_a_family(config: DetectorConfig, decoders: Sequence[Decoder], rng: np.random.Generator) -> Decoder:
    family = str(rng.choice(CLOSED_FORM, p=config.families))
    return _any([item for item in decoders if item.family == family], rng)


def _any(decoders: Sequence[Decoder], rng: np.random.Generator) -> Decoder:
    return decoders[int(rng.integers(len(decoders)))]


def _network_rows(
    names: Sequence[str], pictures: Sequence[Photo], decoder: Decoder, config: DetectorConfig, start: int
) -> Rows:
    """Pairs of a network; films of 160 pixels, since larger ones take it three times as long."""
    rows: Rows = {}
    for number in range(start, min(start + _NETWORK_PART, config.network_pairs)):
        rng = np.random.default_rng([config.network_seed, _CODES[decoder.family], number])
        law = draw_law(rng)
        if law.side != _NETWORK_SIDE:
            law = dataclasses.replace(law, side=_NETWORK_SIDE, scale=1.0)
        index = int(rng.integers(len(pictures)))
        _add(rows, make_pair(pictures, index, decoder, rng, pair=number, law=law), names[index])
    return rows


def _network(family: str, pictures: Sequence[Photo], out: Path, config: DetectorConfig) -> Decoder:
    # Late: torch is an extra, and the other decoders do without it.
    from guarded_sora.training.detector_networks import learned, own_autoencoder

    if family == "own":
        return own_autoencoder(Path(config.own) if config.own else packaged_autoencoder())
    return learned(family, pictures, out / "networks", seconds=config.network_seconds)


def packaged_autoencoder() -> Path:
    """Where the video autoencoder of the built-in generator lies."""
    from guarded_sora import generation

    return Path(generation.__file__).parent / "weights" / "autoencoder"


def _add(rows: Rows, pair: Sequence[Clip], source: str) -> None:
    for clip in pair:
        for block in blocks(clip.frames):
            rows.setdefault("features", []).append(measure(block))
            rows.setdefault("synthetic", []).append(int(clip.synthetic))
            rows.setdefault("source", []).append(source)
            rows.setdefault("family", []).append(clip.family)


def _write(part: Path, rows: Rows) -> None:
    fresh = part.with_suffix(".tmp.npz")
    np.savez(fresh, **{name: np.array(values) for name, values in rows.items()})  # type: ignore[arg-type]
    os.replace(fresh, part)


def gather(folder: Path) -> Measured:
    """The measurements of all parts of a run."""
    parts = [np.load(path) for path in sorted(folder.glob("*-*.npz")) if ".tmp" not in path.name]
    joined = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("features", "synthetic", "source", "family")
    }
    return Measured(**joined)
