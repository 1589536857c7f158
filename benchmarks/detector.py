"""The detector of synthetic films on decoders and photographs it never saw, with controls beside it.

    python -m benchmarks.detector [--json] [--pairs 20] [--cache FOLDER] [--networks FOLDER]
                                  [--own FOLDER] [--clips MANIFEST.csv] [--gather FAMILY ...]

Each pair is a real film and the same film through a decoder, sent on its way alike: codec, rate, size,
length and number of bytes are equal by construction. The controls show it: a score from any of them
must stay at chance. Films are made once and kept in ``--cache``; ``--gather`` makes only some families.
``--networks`` holds the unpacked wheels of published up-samplers, ``--own`` an exported video
autoencoder of this project (default: the packaged one). ``--clips`` adds a report on films of others,
brought to one form, which decides nothing.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.detector_films import PUBLISHED
from benchmarks.detector_pairs import CHANGES, gather
from benchmarks.rows import Row, print_report, print_rows, row
from guarded_sora.detectors.synthetic.features import NAMES
from guarded_sora.detectors.synthetic.model import packaged_model
from guarded_sora.training.detector_fit import auc

Floats = NDArray[np.float64]
HELD_OUT = tuple(PUBLISHED)
"""Never trained on; ``own`` was, and can be gathered to see how much that helps."""
_ROUNDS = 1000


def measured(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the packaged model measures of blocks (N, 9, 128, 128); NaN for a block that is all zero."""
    model = packaged_model()
    rows = [model.measure(block.astype(np.float32)) for block in blocks]
    there = blocks.reshape(len(blocks), -1).max(1) > 0
    return np.where(there[:, None], np.stack(rows), np.float32(np.nan))


def scores_of(numbers: NDArray[np.float32]) -> Floats:
    model = packaged_model()
    return np.array([model.score(seen) if np.isfinite(seen).all() else np.nan for seen in numbers])


def macro(scores: dict[str, Floats], classes: dict[str, NDArray[np.int_]]) -> float:
    return float(np.mean([auc(scores[name], classes[name]) for name in scores]))


def interval(
    scores: dict[str, Floats], classes: dict[str, NDArray[np.int_]], sources: dict[str, NDArray[np.str_]]
) -> tuple[float, float]:
    """95 % of the macro AUC over resampled sources: pairs stay together, and so do films of one source."""
    rng = np.random.default_rng(0)
    names = np.unique(np.concatenate(list(sources.values())))
    found = []
    for _ in range(_ROUNDS):
        drawn = rng.choice(names, len(names))
        values = []
        for family in scores:
            rows = np.concatenate([np.flatnonzero(sources[family] == name) for name in drawn])
            if len(rows):
                values.append(auc(scores[family][rows], classes[family][rows]))
        found.append(float(np.mean(values)))
    return float(np.quantile(found, 0.025)), float(np.quantile(found, 0.975))


def hit_rate(scores: Floats, classes: NDArray[np.int_], *, false: float = 0.05) -> float:
    """Share of synthetic films above the threshold that ``false`` of the real ones exceed."""
    real = np.sort(scores[classes == 0])[::-1]
    threshold = real[int(np.floor(false * len(real)))]
    return float((scores[classes == 1] > threshold).mean())


def calibration_error(scores: Floats, classes: NDArray[np.int_], *, bins: int = 10) -> float:
    """Expected calibration error at even odds, over bins of equal count, of the card's likelihood ratio."""
    card = packaged_model().calibration
    chance = np.array([1 / (1 + np.exp(-card.llr(score))) for score in scores])
    parts = np.array_split(np.argsort(chance), bins)
    return float(
        sum(len(p) * abs(chance[p].mean() - classes[p].mean()) for p in parts if len(p)) / len(chance)
    )


def controls(data: dict[str, Any]) -> dict[str, Floats]:
    """Scores from what is not in the pixels; metadata: all of it, by a model of the other families."""
    codecs = ["h264", "vp9", "mpeg4", "mjpeg", "gif"]
    alone = {
        "length only": data["length"].astype(float),
        "rate only": data["fps"].astype(float),
        "size only": data["side"].astype(float),
        "bytes only": data["bytes"] / data["side"] ** 2.0,
    }
    columns = [*alone.values(), *((data["codec"] == name).astype(float) for name in codecs)]
    return {**alone, "metadata": np.column_stack(columns)}


def metadata_scores(families: dict[str, Any]) -> dict[str, Floats]:
    from guarded_sora.training.detector_fit import logistic

    tables = {name: controls(data)["metadata"] for name, data in families.items()}
    found = {}
    for name, table in tables.items():
        others = [other for other in families if other != name] or [name]
        x = np.concatenate([tables[other] for other in others])
        y = np.concatenate([families[other]["synthetic"] for other in others])
        mean, spread = x.mean(0), x.std(0) + 1e-9
        weights, bias = logistic((x - mean) / spread, y, np.ones(len(x)), ridge=0.01)
        found[name] = (table - mean) / spread @ weights + bias
    return found


def report(families: dict[str, Any]) -> list[Row]:
    """Everything that is asked for, from the gathered pairs."""
    classes = {name: data["synthetic"] for name, data in families.items()}
    sources = {name: data["source"] for name, data in families.items()}
    numbers = {name: measured(data["plain"]) for name, data in families.items()}
    scores = {name: scores_of(numbers[name]) for name in families}
    peer = {name: data["second_difference"] for name, data in families.items()}
    low, high = interval(scores, classes, sources)
    whole, labels = np.concatenate(list(scores.values())), np.concatenate(list(classes.values()))
    ours, theirs = macro(scores, classes), macro(peer, classes)
    name = "second difference of pixels"
    rows = [
        row("macro over decoders", ours, theirs, name, unit="AUC", digits=None),
        Row(metric="macro, 95 % interval over sources, low", ours=low, unit="AUC"),
        Row(metric="macro, 95 % interval over sources, high", ours=high, unit="AUC"),
        *(
            Row(
                metric=f"decoder {f}",
                ours=auc(scores[f], classes[f]),
                peer=auc(peer[f], classes[f]),
                peer_name=name,
                unit="AUC",
            )
            for f in families
        ),
        Row(
            metric="true positives at 5 % false positives",
            ours=hit_rate(whole, labels),
            peer=hit_rate(np.concatenate(list(peer.values())), labels),
            peer_name=name,
            unit="share",
        ),
        Row(
            metric="expected calibration error",
            ours=calibration_error(whole, labels),
            better="lower",
            unit="share",
        ),
        *_false_positives(families, numbers, scores),
        *_control_rows(families, classes),
        *_robustness(families, classes, ours),
        Row(metric="pairs", ours=len(whole) / 2, unit="pairs"),
        Row(metric="sources", ours=len(np.unique(np.concatenate(list(sources.values())))), unit="sources"),
    ]
    return rows


def _false_positives(
    families: dict[str, Any], numbers: dict[str, NDArray[np.float32]], scores: dict[str, Floats]
) -> list[Row]:
    """The share of real films put up for review, and of the source that suffers most."""
    from guarded_sora.detectors.synthetic.blocks import quality_class

    card = packaged_model().calibration
    flat = NAMES.index("noise_flat")
    flagged: dict[str, list[float]] = {}
    caught: list[float] = []
    for family, data in families.items():
        rows = zip(data["synthetic"], data["source"], numbers[family], scores[family], strict=True)
        for synthetic, source, features, score in rows:
            hit = float(card.p_value(float(score), quality_class(float(features[flat]))) <= 0.05)
            if synthetic:
                caught.append(hit)
            else:
                flagged.setdefault(str(source), []).append(hit)
    every = [hit for hits in flagged.values() for hit in hits]
    worst, hits = max(flagged.items(), key=lambda item: float(np.mean(item[1])))
    return [
        Row(
            metric="real films put up for review at alpha 0.05",
            ours=float(np.mean(every)),
            better="lower",
            unit="share",
        ),
        Row(
            metric=f"the same, worst source ({worst})",
            ours=float(np.mean(hits)),
            better="lower",
            unit="share",
        ),
        Row(metric="synthetic films put up for review", ours=float(np.mean(caught)), unit="share"),
    ]


def _control_rows(families: dict[str, Any], classes: dict[str, NDArray[np.int_]]) -> list[Row]:
    rows = []
    for name in ("length only", "rate only", "size only", "bytes only"):
        value = macro({f: controls(data)[name] for f, data in families.items()}, classes)
        rows.append(Row(metric=f"control: {name}", ours=max(value, 1 - value), better="lower", unit="AUC"))
    value = macro(metadata_scores(families), classes)
    rows.append(Row(metric="control: all metadata", ours=max(value, 1 - value), better="lower", unit="AUC"))
    return rows


def _robustness(families: dict[str, Any], classes: dict[str, NDArray[np.int_]], plain: float) -> list[Row]:
    rows = []
    for change in CHANGES:
        scores, labels = {}, {}
        for family, data in families.items():
            found = scores_of(measured(data[f"changed {change}"]))
            there = np.isfinite(found)
            if there.sum() >= 8:
                scores[family], labels[family] = found[there], classes[family][there]
        if scores:
            rows.append(
                row(f"after {change}", macro(scores, labels), plain, "unchanged", unit="AUC", digits=None)
            )
    return rows


def cost() -> list[Row]:
    """CPU milliseconds for a second of film: two blocks of nine frames."""
    block = np.random.default_rng(0).uniform(0, 255, (9, 128, 128)).astype(np.float32)
    model = packaged_model()
    model.measure(block)
    start = time.process_time()
    for _ in range(10):
        model.measure(block)
    spent = (time.process_time() - start) / 10
    return [
        Row(
            metric="measurements, without decoding",
            ours=2000 * spent / (9 / 8),
            better="lower",
            unit="CPU ms/s",
        )
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--cache", type=Path, default=Path("runs/detector-benchmark"))
    parser.add_argument("--networks", type=Path)
    parser.add_argument("--own", type=Path, default=Path("guarded_sora/generation/weights/autoencoder"))
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--gather", nargs="*")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    wanted = options.gather or HELD_OUT
    there = [family for family in wanted if gather(family, options)]
    for family in set(wanted) - set(there):
        print(f"{family}: what it needs is not here; left out", file=sys.stderr)
    if options.gather:
        return
    families = {name: dict(np.load(options.cache / f"{name}.npz")) for name in there}
    rows = [*report(families), *cost()]
    if options.clips:
        from benchmarks.detector_clips import clip_rows

        rows += clip_rows(options.clips, options.cache)
    environment = {"python": platform.python_version(), "machine": platform.machine()}
    if options.json:
        print_report("detector", environment, rows)
    else:
        print_rows(rows)


if __name__ == "__main__":
    main()
