"""Trains the prompt head: a small network over sentence vectors, calibrated on validation prompts.

    guarded-sora train prompts --set data=FOLDER -o runs/prompts

Several small networks are trained from different seeds and shipped as one wide one, so that the mean
of their outputs costs one pass. Every second one reads the peaks beside the sentence vector. A further
output learns harm of any kind, also from rows without a category, and a share of it is added to every
category: what is harmless as a whole loses in all of them. Each output is then put on a common scale: the
tail of its values over harmless validation prompts is taken as exponential, so that one bound means the
same false-alarm rate in every category (Platt's sigmoid on top makes it a probability). The test part is
never read here.

Sources: Platt, "Probabilistic Outputs for Support Vector Machines" (1999); exponential tails over a
high threshold: Pickands, "Statistical Inference Using Extreme Order Statistics" (1975).

Shapes: B prompts, D = 1280 features (sentence vector, peaks), H hidden units, C categories.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from guarded_sora.errors import UsageError
from guarded_sora.policies.text.classify import WINDOW, readable_text
from guarded_sora.policies.text.encoder import (
    FEATURES,
    NAME,
    VOCABULARY_SHA256,
    WEIGHTS_SHA256,
    WIDTH,
    Floats,
    shared_encoder,
)
from guarded_sora.training.prompt_data import SOURCES, Example, own_examples, public_examples

VERSION: Final = "2.0.0"
POINTS: Final = (0.03, 0.01, 0.005)
Numbers = NDArray[np.float64]
TAIL: Final = 0.05
HARD_SAFE: Final = 0.05
"""Weight of hard contrasts (safe sentences about hate, twins) beside captions in the tails."""


LEFT_OUT: Final = ("evasion", "ip.work")
"""Seen by undoing a disguise and by comparing with registered works, not by meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptHeadConfig:
    """Every number of a run. ``data``: folder of the public sets; empty trains on the own corpus alone."""

    seed: int = 3
    data: str = ""
    networks: int = 6
    hidden: int = 96
    epochs: int = 20
    batch: int = 256
    lr: float = 3e-3
    decay: float = 1e-3
    drop_input: float = 0.3
    drop_hidden: float = 0.3
    peaks_decay: float = 1e-2
    peaks_drop: float = 0.5
    """Decay, and share of inputs dropped, of the networks that read the peaks too."""
    any_weight: float = 3.0
    """Weight of the extra output for "harm of any kind", which learns from rows without a category."""
    any_share: float = 0.75
    """How much of that output is added to the one of each category."""


def train_prompts(out: Path, config: PromptHeadConfig) -> Path:
    """Train, calibrate and write ``head.npz`` and ``head.json`` into ``out/export``; returns that folder.

    Raises:
        UsageError: a public set is missing or is not the pinned one.
        ModelInvalid: the encoder is not installed.
        CorpusInvalid: the own corpus cannot be read.
    """
    started = time.time()
    train, validation = _examples("train", config), _examples("validation", config)
    named = {category for example in train if example.source == "corpus" for category in example.categories}
    categories = tuple(sorted(named.difference(LEFT_OUT)))
    if not categories:
        raise UsageError("The corpus names no category; nothing can be trained.")
    vectors = Vectors(out / "vectors.npz")
    features, held = vectors.of(train), vectors.of(validation)
    hidden, output = _fit(features, train, categories, config)
    logits = _forward(held, hidden, output)
    gain, shift = calibrate(logits, validation, categories)
    parts = {
        "hidden": hidden[0],
        "hidden_bias": hidden[1],
        "output": output[0],
        "output_bias": output[1],
        "gain": gain,
        "shift": shift,
    }
    scores = sigmoid(logits * gain + shift)
    facts = {
        "categories": list(categories),
        "config": {**asdict(config), "data": bool(config.data)},
        "trained_on": _counts(train),
        "validated_on": _counts(validation),
        "validation": validation_report(scores, validation, categories),
    }
    return _export(out / "export", parts, facts, seconds=time.time() - started)


def _examples(part: Any, config: PromptHeadConfig) -> list[Example]:
    examples = list(own_examples(part))
    if config.data:
        examples.extend(public_examples(Path(config.data), part))
    return examples


def _counts(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for example in examples:
        entry = counts.setdefault(example.source, {"unsafe": 0, "benign": 0})
        entry["unsafe" if example.unsafe else "benign"] += 1
    return counts


class Vectors:
    """Features by the SHA-256 of the text, kept in a file in half precision so that a second run is quick."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, NDArray[np.float16]] = {}
        if path.is_file():
            with np.load(path, allow_pickle=False) as file:
                self._known = dict(zip(file["keys"].tolist(), file["vectors"], strict=True))

    def of(self, examples: Sequence[Example]) -> Floats:
        """float32 (B, D): the first window of each text."""
        keys = [_key(example.text) for example in examples]
        missing = {
            key: example.text for key, example in zip(keys, examples, strict=True) if key not in self._known
        }
        encoder = shared_encoder() if missing else None
        for key, text in missing.items():
            assert encoder is not None
            tokens = encoder.tokens(readable_text(text))[:WINDOW]
            self._known[key] = encoder.encode_windows(tokens, size=WINDOW, step=WINDOW)[0].astype(np.float16)
        if missing:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(
                self._path, keys=np.array(list(self._known)), vectors=np.array(list(self._known.values()))
            )
        return np.array([self._known[key] for key in keys], dtype=np.float32).reshape(-1, FEATURES)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _labels(
    examples: Sequence[Example], categories: Sequence[str]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Targets and masks (B, C + 1), weights (B,); the last column is harm of any kind."""
    column = {category: index for index, category in enumerate(categories)}
    targets = np.zeros((len(examples), len(categories) + 1), dtype=np.float32)
    masks = np.ones_like(targets)
    for row, example in enumerate(examples):
        targets[row, -1] = example.unsafe
        if example.known is not None or (example.unsafe and not column.keys() & set(example.categories)):
            masks[row, :-1] = 0  # harm of a kind this head does not name: nothing is known of its outputs
        for category in example.known or ():
            masks[row, column[category]] = 1
        for category in example.categories:
            if category in column:
                targets[row, column[category]] = 1
    weights = np.array([example.weight for example in examples], dtype=np.float32)
    return torch.from_numpy(targets), torch.from_numpy(masks), torch.from_numpy(weights)


def _fit(
    features: Floats, examples: Sequence[Example], categories: Sequence[str], config: PromptHeadConfig
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-4
    inputs = torch.from_numpy((features - mean) / deviation)
    targets, masks, weights = _labels(examples, categories)
    scale = torch.ones(targets.shape[1])
    scale[-1] = config.any_weight
    first, first_bias, second, second_bias = [], [], [], []
    for number in range(config.networks):
        torch.manual_seed(config.seed + number)
        wide = number % 2 == 1
        width = FEATURES if wide else WIDTH
        network = torch.nn.Sequential(
            torch.nn.Dropout(config.peaks_drop if wide else config.drop_input),
            torch.nn.Linear(width, config.hidden),
            torch.nn.ReLU(),
            torch.nn.Dropout(config.drop_hidden),
            torch.nn.Linear(config.hidden, targets.shape[1]),
        )
        lower, upper = network[1], network[4]
        assert isinstance(lower, torch.nn.Linear) and isinstance(upper, torch.nn.Linear)
        torch.nn.init.constant_(upper.bias, -3.0)  # harm is rare
        decay = config.peaks_decay if wide else config.decay
        _descend(network, inputs[:, :width], targets, masks * weights[:, None] * scale, config, decay)
        weight = np.zeros((FEATURES, config.hidden))
        weight[:width] = lower.weight.detach().numpy().T / deviation[:width, None]
        first.append(weight)
        first_bias.append(lower.bias.detach().numpy() - mean @ weight)
        last, last_bias = upper.weight.detach().numpy().T, upper.bias.detach().numpy()
        second.append((last[:, :-1] + config.any_share * last[:, -1:]) / config.networks)
        second_bias.append(last_bias[:-1] + config.any_share * last_bias[-1])
    return (
        (np.concatenate(first, axis=1).astype(np.float32), np.concatenate(first_bias).astype(np.float32)),
        (np.concatenate(second).astype(np.float32), np.mean(second_bias, axis=0).astype(np.float32)),
    )


def _descend(
    network: torch.nn.Sequential,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
    config: PromptHeadConfig,
    decay: float,
) -> None:
    steps = (len(inputs) + config.batch - 1) // config.batch
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.lr / 3, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.lr, total_steps=config.epochs * steps)
    network.train()
    for _ in range(config.epochs):
        order = torch.randperm(len(inputs))
        for start in range(0, len(order), config.batch):
            rows = order[start : start + config.batch]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                network(inputs[rows]), targets[rows], weight=weights[rows], reduction="sum"
            ) / len(rows)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    network.eval()


def _forward(features: Floats, hidden: tuple[Floats, Floats], output: tuple[Floats, Floats]) -> Numbers:
    middle = np.maximum(features @ hidden[0] + hidden[1], 0)
    result: Numbers = (middle @ output[0] + output[1]).astype(np.float64)
    return result


def calibrate(
    logits: Numbers, examples: Sequence[Example], categories: Sequence[str]
) -> tuple[Floats, Floats]:
    """``gain`` and ``shift`` (C,) that make logits (B, C) of validation prompts into probabilities."""
    benign = np.array([not example.unsafe for example in examples])
    hard = np.array([example.source in ("hatecheck", "corpus") for example in examples])
    weights = np.zeros(len(examples))
    for group, share in ((benign & ~hard, 1.0), (benign & hard, HARD_SAFE)):
        if group.any():
            weights[group] = share / group.sum()
    bounds, scales = [], []
    for column in range(len(categories)):
        bound = weighted_quantile(logits[benign, column], weights[benign], 1 - TAIL)
        beyond = benign & (logits[:, column] > bound)
        excess = np.average(logits[beyond, column] - bound, weights=weights[beyond]) if beyond.any() else 1.0
        bounds.append(bound)
        scales.append(max(float(excess), 1e-3))
    tail = -np.log(TAIL) + (logits - np.array(bounds)) / np.array(scales)
    slope, offset = platt(*_pairs(tail, examples, categories))
    gain = slope / np.array(scales)
    shift = slope * (-np.log(TAIL) - np.array(bounds) / np.array(scales)) + offset
    return gain.astype(np.float32), shift.astype(np.float32)


def _pairs(tail: Numbers, examples: Sequence[Example], categories: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Every prompt of the own corpus with every category: its score, and whether it is labelled so."""
    rows = [index for index, example in enumerate(examples) if example.source == "corpus"]
    truth = np.array([[category in examples[row].categories for category in categories] for row in rows])
    return tail[rows].ravel(), truth.astype(np.float64).ravel()


def weighted_quantile(values: Numbers, weights: Numbers, share: float) -> float:
    """The least of ``values`` that has at least ``share`` of the weight at or below it."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, share)), len(values) - 1)])


def platt(scores: Numbers, truth: Numbers) -> tuple[float, float]:
    """Slope (positive) and offset of the sigmoid of least log loss, by Newton's method with halved steps.

    Labels are smoothed as in Platt's paper, so that classes that part without error end on finite numbers.
    """
    positives = float(truth.sum())
    high, low = (positives + 1) / (positives + 2), 1 / (len(truth) - positives + 2)
    target = np.where(truth > 0.5, high, low)

    def loss(slope: float, offset: float) -> float:
        z = slope * scores + offset
        return float((np.logaddexp(0, z) - target * z).sum())

    slope, offset = 1.0, -3.0
    least = loss(slope, offset)
    for _ in range(100):
        p = sigmoid(slope * scores + offset)
        error, curve = p - target, p * (1 - p) + 1e-12
        gradient = np.array([error @ scores, error.sum()])
        matrix = np.array([[curve @ scores**2, curve @ scores], [curve @ scores, curve.sum()]])
        step = np.linalg.solve(matrix + 1e-9 * np.trace(matrix) * np.eye(2), gradient)
        share = 1.0
        while share > 1e-6 and loss(slope - share * step[0], offset - share * step[1]) > least:
            share /= 2
        slope, offset = slope - share * float(step[0]), offset - share * float(step[1])
        now = loss(slope, offset)
        if least - now < 1e-9 * abs(least):
            break
        least = now
    return max(slope, 1e-3), offset


def sigmoid(values: Numbers) -> Numbers:
    """1 / (1 + exp(-x)), without overflow."""
    result: Numbers = 1 / (1 + np.exp(-np.clip(values, -40, 40)))
    return result


def validation_report(
    scores: Numbers, examples: Sequence[Example], categories: Sequence[str]
) -> dict[str, Any]:
    """Bounds at three false-alarm rates on harmless captions, recall there, calibration error."""
    top = scores.max(axis=1)
    captions = np.array([not e.unsafe and e.source not in ("corpus", "hatecheck") for e in examples])
    if not captions.any():
        captions = np.array([not e.unsafe for e in examples])
    unsafe = np.array([e.unsafe and e.source == "corpus" for e in examples])
    twins = np.array([not e.unsafe and e.source == "corpus" for e in examples])
    points = []
    for rate in POINTS:
        bound = float(np.quantile(top[captions], 1 - rate))
        points.append(
            {
                "false_alarms": rate,
                "bound": round(bound, 4),
                "recall": round(float((top[unsafe] > bound).mean()), 4) if unsafe.any() else None,
                "twins_stopped": round(float((top[twins] > bound).mean()), 4) if twins.any() else None,
            }
        )
    flat, truth = _pairs(scores, examples, categories)
    return {"points": points, "calibration_error": round(calibration_error(flat, truth), 4)}


def calibration_error(scores: Numbers, truth: Numbers, bins: int = 10) -> float:
    """Expected calibration error over equal-width bins (Naeini et al. 2015)."""
    which = np.minimum((scores * bins).astype(int), bins - 1)
    total = 0.0
    for number in range(bins):
        inside = which == number
        if inside.any():
            total += inside.mean() * abs(scores[inside].mean() - truth[inside].mean())
    return float(total)


def _export(folder: Path, parts: Mapping[str, Any], facts: Mapping[str, Any], *, seconds: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    half = {name: part.astype(np.float16 if part.ndim == 2 else np.float32) for name, part in parts.items()}
    np.savez(buffer, **half)
    data = buffer.getvalue()
    card = {
        "version": VERSION,
        "sha256": hashlib.sha256(data).hexdigest(),
        "licence": "Apache-2.0",
        "encoder": {
            "name": NAME,
            "weights_sha256": WEIGHTS_SHA256,
            "vocabulary_sha256": VOCABULARY_SHA256,
        },
        "seconds": round(seconds),
        "sources": [
            {"file": s.file, "sha256": s.sha256, "licence": s.licence, "origin": s.origin, "parts": s.parts}
            for s in SOURCES
            if facts["config"]["data"]
        ],
        **facts,
    }
    (folder / "head.npz").write_bytes(data)
    (folder / "head.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return folder
