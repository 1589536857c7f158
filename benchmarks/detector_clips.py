"""The detector on films of others: a report and no verdict, since such collections differ in everything.

Real and generated clips on the net differ in codec, rate, length and size, and these alone tell them
apart. Both classes are brought to one form: 9 frames at 4 a second, cut at their own resolution, sent
through a GIF of 128 colours. What a model of the metadata alone reaches stands beside the score.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detector_peers import peers_of, pictures, second_difference
from benchmarks.rows import Row, row
from guarded_sora.detectors.synthetic.blocks import middle_spots
from guarded_sora.detectors.synthetic.features import FRAMES
from guarded_sora.detectors.synthetic.model import packaged_model
from guarded_sora.errors import MediaError
from guarded_sora.media import FrameStream
from guarded_sora.media.recompress import recompress
from guarded_sora.training.detector_fit import auc, logistic
from guarded_sora.training.detector_pairs import blocks
from guarded_sora.worker import Worker

RATE = 4.0
_SIDE = 256
_ROUNDS = 1000


def clip_rows(manifest: Path, cache: Path) -> Iterator[Row]:
    """Rows for the table; ``manifest`` is a CSV with file, label, category, source and the metadata."""
    data = _measured(manifest, cache)
    y, source = data["synthetic"], data["source"]
    model = packaged_model()
    scores = np.array(
        [
            np.mean([model.score(model.measure(block.astype(np.float32))) for block in film])
            for film in data["blocks"]
        ]
    )
    low, high = _interval(scores, y, source)
    control = _control(data)
    yield Row(metric="clips of others: real", ours=float((y == 0).sum()), unit="clips")
    yield Row(metric="clips of others: generated", ours=float((y == 1).sum()), unit="clips")
    yield Row(metric="clips of others: sources", ours=float(len(np.unique(source))), unit="sources")
    beside = "metadata alone, leave source out"
    value = auc(scores, y)
    yield row("clips of others, one form (report only)", value, control, beside, unit="AUC", digits=None)
    yield Row(metric="the same, 95 % interval over sources, low", ours=low, unit="AUC")
    yield Row(metric="the same, 95 % interval over sources, high", ours=high, unit="AUC")
    for name, said in peers_of({"clips of others": data}).items():
        yield Row(metric=f"the same, {name}", ours=auc(said["clips of others"], y), unit="AUC")
    for kind in np.unique(data["category"][y == 1]):
        rows = (y == 0) | (data["category"] == kind)
        count = int(((y == 1) & rows).sum())
        if count >= 4:
            metric = f"the same, {kind} alone ({count} clips)"
            yield Row(metric=metric, ours=auc(scores[rows], y[rows]), unit="AUC")
    threshold = np.quantile(scores[y == 0], 0.95)
    caught = float((scores[y == 1] > threshold).mean())
    yield Row(metric="the same, true positives at 5 % false positives", ours=caught)


def _measured(manifest: Path, cache: Path) -> dict[str, NDArray[Any]]:
    path = cache / "clips-of-others.npz"
    if path.is_file() and "pictures" in (kept := dict(np.load(path))):
        return kept
    rows: list[dict[str, Any]] = []
    with Worker() as worker, manifest.open(newline="") as file:
        for entry in csv.DictReader(file):
            film = _one_form(manifest.parent / entry["file"], worker)
            if film is None:
                continue
            area = int(entry["width"]) * int(entry["height"])
            rows.append(
                {
                    "blocks": np.stack([blocks(film)[0], blocks(film)[-1]]).astype(np.uint8),
                    "second_difference": second_difference(film),
                    "pictures": pictures(film),
                    "synthetic": int(entry["label"] == "fake"),
                    "source": entry["source"],
                    "category": entry["category"],
                    "metadata": [
                        entry["codec"] == "gif",
                        np.log(area),
                        int(entry["width"]) / int(entry["height"]),
                        float(entry["fps"]),
                        np.log(max(1, int(entry["frames"]))),
                        np.log(int(entry["bytes"]) / (area * max(1, int(entry["frames"])))),
                    ],
                }
            )
    columns: dict[str, NDArray[Any]] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(path, **columns)  # type: ignore[arg-type]
    return columns


def _one_form(path: Path, worker: Worker) -> NDArray[np.uint8] | None:
    """uint8 (9, H, W, 3) at 4 frames a second after a GIF; None for films too short, slow or small."""
    frames: list[NDArray[np.uint8]] = []
    try:
        stream = FrameStream(path, worker, sample_fps=RATE, strict=False)
        if stream.info.fps < RATE:
            return None
        for batch in stream:
            frames += list(batch.frames)
            if len(frames) >= FRAMES + 2:
                break
    except MediaError:
        return None
    kept = frames[2 : FRAMES + 2] if len(frames) >= FRAMES + 2 else frames[:FRAMES]
    if len(kept) < FRAMES or not middle_spots(*kept[0].shape[:2]):
        return None
    film = np.stack(kept)
    height, width = (min(_SIDE, side) // 2 * 2 for side in film.shape[1:3])
    top, left = (film.shape[1] - height) // 2 // 8 * 8, (film.shape[2] - width) // 2 // 8 * 8
    film = np.ascontiguousarray(film[:, top : top + height, left : left + width])
    return recompress(film, fps=RATE, codec="gif", quality=128).frames


def _interval(scores: NDArray[Any], y: NDArray[Any], source: NDArray[Any]) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    names, found = np.unique(source), []
    for _ in range(_ROUNDS):
        rows = np.concatenate([np.flatnonzero(source == name) for name in rng.choice(names, len(names))])
        found.append(auc(scores[rows], y[rows]))
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def _control(data: dict[str, NDArray[Any]]) -> float:
    """AUC of a logistic model of the metadata, each source scored by a model that did not see it."""
    x, y, source = data["metadata"].astype(float), data["synthetic"], data["source"]
    scores = np.zeros(len(y))
    for name in np.unique(source):
        seen = source != name
        mean, spread = x[seen].mean(0), x[seen].std(0) + 1e-9
        weights, bias = logistic((x[seen] - mean) / spread, y[seen], np.ones(seen.sum()), ridge=0.01)
        scores[~seen] = (x[~seen] - mean) / spread @ weights + bias
    return auc(scores, y)
