"""Model cards: everything needed to run somebody's ONNX network on a frame, and to read its answer.

Networks differ in ways that never raise: red and blue swapped, a mean forgotten, a box decoded from
the wrong corner. The card states each of them once, and :class:`Network` does what it says.

Legend: H height, W width, C classes, N boxes.
"""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from guarded_sora.detectors.errors import WeightsInvalid
from guarded_sora.policies.taxonomy import CATEGORIES
from guarded_sora.policies.weights import read_pinned

Fit = Literal["stretch", "crop", "pad"]
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """How a frame becomes the network's input.

    ``fit``: ``stretch`` to (resize, resize), ``crop`` the short side to ``resize``, or ``pad`` to a
    square at the right and bottom; then the centre ``side`` x ``side`` is taken. ``jpeg`` puts the
    result through a JPEG, for networks trained on such. Pixels 0 to 255 are multiplied by ``scale``,
    ``mean`` is subtracted and the result divided by ``std``, in the order of ``channels``.
    """

    side: int
    resize: int
    fit: Fit = "stretch"
    channels: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    scale: float = 1.0 / 255.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    jpeg: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One class of the network's answer: which category its score speaks for, and from where on.

    From ``at`` on the finding has ``severity``. Several outputs may share an index: a lower ``at``
    with a lower severity, or another category.
    """

    index: int
    category: str
    at: float
    severity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """``kind``: ``scores`` reads (1, C); ``boxes`` reads (1, 4 + C, N) with centre x, y, width, height in
    input pixels. ``activation`` is what the network left out. ``licence`` and ``source`` are for people."""

    name: str
    version: str
    weights: Path
    sha256: str
    licence: str
    input: Input
    outputs: tuple[Output, ...]
    kind: Literal["scores", "boxes"] = "scores"
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    source: str = ""

    def __post_init__(self) -> None:
        problems = [
            (not _NAME.fullmatch(self.name), "a dotted lower-case name"),
            (not _SHA256.fullmatch(self.sha256), "sha256 of the weights, 64 lower-case hex digits"),
            (not self.outputs, "at least one output"),
            (any(item.category not in CATEGORIES for item in self.outputs), "categories of the taxonomy"),
            (any(not 0 < item.at <= 1 for item in self.outputs), "thresholds above 0 and up to 1"),
            (any(not 1 <= item.severity <= 3 for item in self.outputs), "severities 1 to 3"),
            (any(item.index < 0 for item in self.outputs), "indices from 0"),
            (not 8 <= self.input.side <= self.input.resize <= 4096, "8 <= side <= resize <= 4096"),
            (self.input.fit not in ("stretch", "crop", "pad"), "fit stretch, crop or pad"),
            (self.input.channels not in ("rgb", "bgr"), "channels rgb or bgr"),
            (self.input.layout not in ("nchw", "nhwc"), "layout nchw or nhwc"),
            (self.kind not in ("scores", "boxes"), "kind scores or boxes"),
            (self.activation not in ("none", "softmax", "sigmoid"), "activation none, softmax or sigmoid"),
            (not all(value for value in self.input.std), "std without zeros"),
            (self.kind == "boxes" and self.input.fit != "pad", "fit pad for boxes"),
        ]
        wanted = [what for wrong, what in problems if wrong]
        if wanted:
            raise WeightsInvalid(f"The model card {self.name[:40]!r} needs {wanted[0]}; correct it.")


def load_card(path: Path) -> ModelCard:
    """The card in a JSON file with the fields of :class:`ModelCard`; ``weights`` is relative to it.

    Raises:
        WeightsInvalid: not such a card.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
        given = dict(document)
        given["input"] = Input(**{**given["input"], **_triples(given["input"])})
        given["outputs"] = tuple(Output(**item) for item in given["outputs"])
        given["weights"] = path.parent / given["weights"]
        return ModelCard(**given)
    except WeightsInvalid:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        known = ", ".join(field.name for field in fields(ModelCard))
        raise WeightsInvalid(
            f"{path.name} is no model card ({type(error).__name__}); it has the fields {known}."
        ) from error


def _triples(given: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(map(float, given[name])) for name in ("mean", "std") if name in given}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Score 0 to 1 of one class, and for boxes where in the frame (left, top, right, bottom) in pixels."""

    score: float
    box: tuple[float, float, float, float] | None = None


class Network:
    """A loaded network; one thread on the CPU, so that scores repeat. Load is when it is first asked."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self._session: Any = None

    def classify(self, frame: NDArray[np.uint8]) -> list[Answer]:
        """The answer for every class, for one frame uint8 (H, W, 3) sRGB.

        Raises:
            WeightsInvalid: the file is not the pinned one, or its answer is not what the card says.
        """
        session = self._load()
        pixels, shrink = prepare(frame, self.card.input)
        try:
            (raw,) = session.run([session.get_outputs()[0].name], {session.get_inputs()[0].name: pixels})
        except Exception as error:  # the runtime raises classes of its own
            raise WeightsInvalid(
                f"The network {self.card.name} does not take the input its card states "
                f"({type(error).__name__}); correct the card."
            ) from error
        return self._read(np.asarray(raw, dtype=np.float64), shrink)

    def _read(self, raw: NDArray[np.float64], shrink: float) -> list[Answer]:
        classes = 1 + max(item.index for item in self.card.outputs)
        boxes = self.card.kind == "boxes"
        least = 4 + classes if boxes else classes
        if raw.ndim != (3 if boxes else 2) or raw.shape[0] != 1 or raw.shape[1] < least:
            raise WeightsInvalid(
                f"The network {self.card.name} answers {raw.shape}, not what its card states; "
                "correct the card."
            )
        if not np.isfinite(raw).all():
            raise WeightsInvalid(f"The network {self.card.name} answered no number; do not use it.")
        if not boxes:
            return [Answer(score=_bounded(value)) for value in self._activate(raw[0])]
        scores = self._activate(raw[0, 4:])
        best = scores.argmax(axis=1) if scores.shape[1] else np.zeros(0, dtype=np.int64)
        return [
            Answer(score=_bounded(scores[index, place]), box=_corners(raw[0, :4, place], shrink))
            for index, place in enumerate(best)
        ]

    def _activate(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.card.activation == "sigmoid":
            return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0))))
        if self.card.activation == "softmax":
            powers = np.exp(values - values.max(axis=0))
            return np.asarray(powers / powers.sum(axis=0))
        return values

    def _load(self) -> Any:
        if self._session is None:
            import onnxruntime

            data = read_pinned(self.card.weights, self.card.sha256, error=WeightsInvalid)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            options.log_severity_level = 3
            try:
                self._session = onnxruntime.InferenceSession(
                    data, options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:
                raise WeightsInvalid(
                    f"The weights of {self.card.name} are no ONNX network this runtime reads; update it."
                ) from error
        return self._session


def prepare(frame: NDArray[np.uint8], form: Input) -> tuple[NDArray[np.float32], float]:
    """The network's input, and by how much the picture was scaled (for boxes)."""
    height, width = frame.shape[:2]
    picture = Image.fromarray(frame)
    scale = form.resize / (max(width, height) if form.fit == "pad" else min(width, height))
    if form.fit == "stretch":
        picture = picture.resize((form.resize, form.resize), Image.Resampling.BILINEAR)
    else:
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    if form.fit == "pad":
        square = Image.new("RGB", (form.resize, form.resize))
        square.paste(picture, (0, 0))
        picture = square
    left, top = (picture.width - form.side) // 2, (picture.height - form.side) // 2
    picture = picture.crop((left, top, left + form.side, top + form.side))
    if form.jpeg:
        buffer = io.BytesIO()
        picture.save(buffer, format="JPEG")
        picture = Image.open(buffer)
    pixels = np.asarray(picture, dtype=np.float32)
    if form.channels == "bgr":
        pixels = pixels[..., ::-1]
    mean, std = np.asarray(form.mean, dtype=np.float32), np.asarray(form.std, dtype=np.float32)
    pixels = (pixels * np.float32(form.scale) - mean) / std
    if form.layout == "nchw":
        pixels = pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(pixels[None], dtype=np.float32), scale


def enlarged(frame: NDArray[np.uint8], least: int) -> NDArray[np.uint8]:
    """``frame`` with its short side at least ``least`` pixels: small faces are missed otherwise."""
    short = min(frame.shape[:2])
    if short >= least:
        return frame
    factor = least / max(short, 1)
    size = (math.ceil(frame.shape[1] * factor), math.ceil(frame.shape[0] * factor))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _corners(box: NDArray[np.float64], scale: float) -> tuple[float, float, float, float]:
    x, y, width, height = (float(value) / scale for value in box)
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _bounded(value: float) -> float:
    return min(max(float(value), 0.0), 1.0)
