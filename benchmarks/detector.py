"""The detector of synthetic films on decoders and photographs it never saw, with controls beside it.

    python -m benchmarks.detector [--json] [--pairs 20] [--cache FOLDER] [--networks FOLDER]
                                  [--photos FOLDER] [--clips MANIFEST.csv] [--gather FAMILY ...]
                                  [--looked-at] [--model FILE]

Each pair is a real film and the same film through a decoder, sent on its way alike: codec, rate, size,
length and number of bytes are equal by construction. The controls show it: a score from any of them
must stay at chance. Films are made once and kept in ``--cache``; ``--gather`` makes only some families.
``--networks`` holds the unpacked wheels of published up-samplers, ``--photos`` the photographs of the
model card, on which an autoencoder is trained. ``--looked-at`` asks only about the decoders that were
the test of earlier versions: development may look at those and never at the others. ``--clips`` adds a
report on films of others, brought to one form, which decides nothing. ``--model`` asks another file
than the packaged one. Who stands beside it, and what that needs: :mod:`benchmarks.detector_peers`.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.detector_films import HELD_OUT, LOOKED_AT
from benchmarks.detector_pairs import CHANGES, gather
from benchmarks.detector_peers import peers_of
from benchmarks.rows import Row, print_report, print_rows, row
from guarded_sora.detectors.synthetic.features import NAMES
from guarded_sora.detectors.synthetic.model import TriageModel, packaged_model, read_model
from guarded_sora.training.detector_fit import auc

Floats = NDArray[np.float64]
_ROUNDS = 1000


def measured(model: TriageModel, films: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a model measures of films (N, B, 9, 128, 128), (N, B, F); NaN for a block that is all zero."""
    found = np.full((*films.shape[:2], len(NAMES)), np.nan, np.float32)
    for at in np.ndindex(films.shape[:2]):
        if films[at].any():
            found[at] = model.measure(films[at].astype(np.float32))[: len(NAMES)]
    return found


def scores_of(model: TriageModel, numbers: NDArray[np.float32]) -> Floats:
    """The score of each film (N,): the mean over its blocks; NaN for a film without any."""
    scores = []
    for film in numbers:
        there = [model.score(block) for block in film if np.isfinite(block).all()]
        scores.append(float(np.mean(there)) if there else np.nan)
    return np.array(scores)


def loaded(cache: Path, family: str) -> dict[str, Any]:
    """What was gathered of a family; one block a film where the file is of that kind."""
    data = dict(np.load(cache / f"{family}.npz"))
    films = [name for name in data if name == "plain" or name.startswith("changed ")]
    return data | {name: data[name][:, None] for name in films if data[name].ndim == 4}


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


def chances(model: TriageModel, scores: Floats) -> Floats:
    """Probabilities at even odds by the card's likelihood ratio."""
    return np.array([1 / (1 + np.exp(-model.calibration.llr(score))) for score in scores])


def calibration_error(chance: Floats, classes: NDArray[np.int_], *, bins: int = 10) -> float:
    """Expected calibration error of probabilities over bins of equal count."""
    parts = np.array_split(np.argsort(chance), bins)
    return float(
        sum(len(p) * abs(chance[p].mean() - classes[p].mean()) for p in parts if len(p)) / len(chance)
    )


def error_of_the_perfect(chance: Floats) -> float:
    """What :func:`calibration_error` finds on average where these probabilities are the truth: so many
    films cannot show less."""
    rng = np.random.default_rng(0)
    drawn = [calibration_error(chance, (rng.random(len(chance)) < chance).astype(int)) for _ in range(200)]
    return float(np.mean(drawn))


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


def report(model: TriageModel, families: dict[str, Any]) -> list[Row]:
    """Everything that is asked for, from the gathered pairs."""
    classes = {name: data["synthetic"] for name, data in families.items()}
    sources = {name: data["source"] for name, data in families.items()}
    numbers = {name: measured(model, data["plain"]) for name, data in families.items()}
    scores = {name: scores_of(model, numbers[name]) for name in families}
    whole, labels = np.concatenate(list(scores.values())), np.concatenate(list(classes.values()))
    chance = chances(model, whole)
    return [
        *_decoder_rows(scores, peers_of(families), classes, sources),
        row(
            "expected calibration error",
            calibration_error(chance, labels),
            error_of_the_perfect(chance),
            "a perfect one, by chance",
            better="lower",
            unit="share",
            digits=None,
        ),
        *_false_positives(model, families, numbers, scores),
        *_control_rows(families, classes),
        *_robustness(model, families, classes, numbers),
        Row(metric="pairs", ours=len(whole) / 2, unit="pairs"),
        Row(metric="sources", ours=len(np.unique(np.concatenate(list(sources.values())))), unit="sources"),
    ]


def looked_at(model: TriageModel, families: dict[str, Any]) -> list[Row]:
    """The same of decoders that were looked at before: they show progress and prove nothing."""
    classes = {name: data["synthetic"] for name, data in families.items()}
    scores = {name: scores_of(model, measured(model, data["plain"])) for name, data in families.items()}
    sources = {name: data["source"] for name, data in families.items()}
    whole, labels = np.concatenate(list(scores.values())), np.concatenate(list(classes.values()))
    rows = [
        *_decoder_rows(scores, peers_of(families), classes, sources),
        Row(
            metric="expected calibration error",
            ours=calibration_error(chances(model, whole), labels),
            better="lower",
            unit="share",
        ),
    ]
    return [replace(each, metric=f"looked at before: {each.metric}") for each in rows]


def _decoder_rows(
    scores: dict[str, Floats],
    peers: dict[str, dict[str, Floats]],
    classes: dict[str, NDArray[np.int_]],
    sources: dict[str, NDArray[np.str_]],
) -> list[Row]:
    """The macro AUC, its interval, each decoder's own and what is caught, beside every peer in turn."""
    low, high = interval(scores, classes, sources)
    labels, whole = np.concatenate(list(classes.values())), np.concatenate(list(scores.values()))
    rows: list[Row] = []
    for number, (name, said) in enumerate(peers.items()):
        also = f", beside {name.split()[0]}" if number else ""  # a metric's name stands once
        hits = hit_rate(np.concatenate(list(said.values())), labels)
        ours, theirs = macro(scores, classes), macro(said, classes)
        rows.append(row(f"macro over decoders{also}", ours, theirs, name, unit="AUC", digits=None))
        if not number:
            rows += [
                Row(metric="macro, 95 % interval over sources, low", ours=low, unit="AUC"),
                Row(metric="macro, 95 % interval over sources, high", ours=high, unit="AUC"),
            ]
        rows += [
            Row(
                metric=f"decoder {family}{also}",
                ours=auc(scores[family], classes[family]),
                peer=auc(said[family], classes[family]),
                peer_name=name,
                unit="AUC",
            )
            for family in scores
        ]
        caught = f"true positives at 5 % false positives{also}"
        rows.append(Row(metric=caught, ours=hit_rate(whole, labels), peer=hits, peer_name=name, unit="share"))
    return rows


def _false_positives(
    model: TriageModel,
    families: dict[str, Any],
    numbers: dict[str, NDArray[np.float32]],
    scores: dict[str, Floats],
) -> list[Row]:
    """The share of real films put up for review, and of the source that suffers most."""
    from guarded_sora.detectors.synthetic.blocks import quality_class

    flat = NAMES.index("noise_flat")
    flagged: dict[str, list[float]] = {}
    caught: list[float] = []
    for family, data in families.items():
        rows = zip(data["synthetic"], data["source"], numbers[family], scores[family], strict=True)
        for synthetic, source, features, score in rows:
            quality = quality_class(float(np.nanmean(features[:, flat])))
            hit = float(model.calibration.p_value(float(score), quality) <= 0.05)
            if synthetic:
                caught.append(hit)
            else:
                flagged.setdefault(str(source), []).append(hit)
    by_source = {name: float(np.mean(hits)) for name, hits in flagged.items()}
    worst = max(by_source, key=lambda name: by_source[name])
    review = "real films put up for review at alpha 0.05, each source counted once"
    return [
        Row(metric=review, ours=float(np.mean(list(by_source.values()))), better="lower", unit="share"),
        Row(metric=f"the same, worst source ({worst})", ours=by_source[worst], better="lower", unit="share"),
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


def _robustness(
    model: TriageModel,
    families: dict[str, Any],
    classes: dict[str, NDArray[np.int_]],
    numbers: dict[str, NDArray[np.float32]],
) -> list[Row]:
    """After each change, beside the same window of the same films unchanged."""
    rows = []
    before = {name: scores_of(model, numbers[name][:, :2]) for name in families}
    for change in CHANGES:
        scores, labels, plain = {}, {}, {}
        for family, data in families.items():
            found = scores_of(model, measured(model, data[f"changed {change}"]))
            there = np.isfinite(found)
            if there.sum() >= 8:
                scores[family], labels[family] = found[there], classes[family][there]
                plain[family] = before[family][there]
        if scores:
            ours, unchanged = macro(scores, labels), macro(plain, labels)
            rows.append(row(f"after {change}", ours, unchanged, "unchanged", unit="AUC", digits=None))
    return rows


def cost(model: TriageModel) -> list[Row]:
    """CPU milliseconds for a second of film: two blocks of nine frames."""
    block = np.random.default_rng(0).uniform(0, 255, (9, 128, 128)).astype(np.float32)
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
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--gather", nargs="*")
    parser.add_argument("--looked-at", action="store_true")
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    wanted = options.gather or (LOOKED_AT if options.looked_at else (*HELD_OUT, *LOOKED_AT))
    there = [family for family in wanted if gather(family, options)]
    for family in set(wanted) - set(there):
        print(f"{family}: what it needs is not here; left out", file=sys.stderr)
    if options.gather:
        return
    model = read_model(options.model.read_bytes()) if options.model else packaged_model()
    held_out = {name: loaded(options.cache, name) for name in there if name in HELD_OUT}
    before = {name: loaded(options.cache, name) for name in there if name in LOOKED_AT}
    rows = report(model, held_out) if held_out else []
    rows += looked_at(model, before) if before else []
    rows += cost(model)
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
