"""Trains the detector's packaged model: ``train("detector", out=..., photos=FOLDER)``.

Pairs are made one after the other, each from its own seed, and their measurements kept in parts, so a
run that was stopped goes on where it was. Photographs are the operator's to give: those of the shipped
model stand with their licences on the model card.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from guarded_sora.detectors.synthetic.features import measure
from guarded_sora.training.config import DetectorConfig
from guarded_sora.training.detector_camera import load_photos
from guarded_sora.training.detector_decoders import CLOSED_FORM, closed_form
from guarded_sora.training.detector_fit import Measured, calibrated
from guarded_sora.training.detector_pairs import blocks, draw_law, make_pair

_PART = 20


def train_detector(out: Path, config: DetectorConfig) -> Path:
    """Make the pairs, fit, calibrate; returns the folder that holds ``triage.json``.

    Raises:
        UsageError: there are no photographs to train on.
    """
    photos = load_photos(Path(config.photos))
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n")
    names, pictures = list(photos), list(photos.values())
    decoders = None
    for start in range(0, config.pairs, _PART):
        part = out / f"pairs-{start:05d}.npz"
        if part.is_file():
            continue
        decoders = decoders or closed_form(pictures, seed=config.seed)
        rows: dict[str, list[Any]] = {"features": [], "synthetic": [], "source": [], "family": []}
        for number in range(start, min(start + _PART, config.pairs)):
            rng = np.random.default_rng([config.seed, number])
            family = str(rng.choice(CLOSED_FORM, p=config.families))
            fitting = [item for item in decoders if item.family == family]
            decoder = fitting[int(rng.integers(len(fitting)))]
            index = int(rng.integers(len(pictures)))
            for clip in make_pair(pictures, index, decoder, rng, pair=number, law=draw_law(rng)):
                for block in blocks(clip.frames):
                    rows["features"].append(measure(block))
                    rows["synthetic"].append(int(clip.synthetic))
                    rows["source"].append(names[index])
                    rows["family"].append(family)
        fresh = part.with_suffix(".tmp.npz")
        np.savez(fresh, **{name: np.array(values) for name, values in rows.items()})  # type: ignore[arg-type]
        os.replace(fresh, part)
    data = gather(out)
    export = out / "export"
    export.mkdir(exist_ok=True)
    (export / "triage.json").write_bytes(calibrated(data, ridge=config.ridge, version=config.version))
    return export


def gather(folder: Path) -> Measured:
    """The measurements of all parts of a run."""
    parts = [np.load(path) for path in sorted(folder.glob("pairs-*.npz")) if ".tmp" not in path.name]
    joined = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("features", "synthetic", "source", "family")
    }
    return Measured(**joined)
