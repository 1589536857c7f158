"""Large backbones from a local folder as plug-ins: DINOv2 and v3, SigLIP 2, CLIP, VideoMAE.

A folder holds a transformers checkpoint (safetensors) and, beside it, ``head.json``: which of three
heads turns embeddings into a score, its numbers, and the calibration card. Without the card the score
is shown and counts for nothing. Nothing is downloaded.

Heads: ``probe`` a trained linear one on the mean embedding; ``curvature`` the mean turning angle of
the path through embedding space (Internò et al., NeurIPS 2025); ``whitened`` minus the log-likelihood
under a normal distribution of real films alone (after Brokman et al., CVPR 2026).

Legend: T frames, D embedding dimensions, H height, W width.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.errors import WeightsInvalid
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.synthetic.calibration import Calibration, read_card
from guarded_sora.detectors.synthetic.report import Head

Embeddings = NDArray[np.float64]
Embed = Callable[[NDArray[np.uint8]], Embeddings]
"""uint8 (T, H, W, 3) -> float64 (T, D)."""
HEADS = ("probe", "curvature", "whitened")


class Backbone:
    """A plug-in around ``embed`` and the head of ``document`` (the content of ``head.json``)."""

    def __init__(self, embed: Embed, document: Any, *, what: str) -> None:
        try:
            self.name = str(document["name"])
            self.version = str(document["version"])
            self.head = Head(document.get("kind", Head.FULLY_SYNTHETIC.value))
            self._head = str(document["head"])
            numbers = document.get("numbers", {})
            self._weights = np.array(numbers.get("weights", ()), np.float64)
            self._bias = float(numbers.get("bias", 0.0))
            self._mean = np.array(numbers.get("mean", ()), np.float64)
            self._whitening = np.array(numbers.get("whitening", ()), np.float64)
            arrays = (self._weights, self._mean, self._whitening)
            sound = self._head in HEADS and all(bool(np.isfinite(each).all()) for each in arrays)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WeightsInvalid(f"{what} is no head of ours; see docs/model-card-detector.md.") from error
        if not sound:
            raise WeightsInvalid(f"{what} names no head we know or holds no numbers; see the model card.")
        card = document.get("calibration")
        self.card: Calibration | None = None if card is None else read_card(card, what=what)
        self._embed = embed
        self._what = what

    def score(self, frames: FrameBatch) -> float:
        """The head's score of the embedded frames.

        Raises:
            WeightsInvalid: head and backbone do not fit together.
        """
        z = self._embed(frames.frames)
        try:
            if self._head == "probe":
                value = float(z.mean(0) @ self._weights) + self._bias
            elif self._head == "curvature":
                value = turning(z)
            else:
                white = (z - self._mean) @ self._whitening
                value = float((white**2).mean())
        except ValueError as error:
            raise WeightsInvalid(f"{self._what} does not fit its backbone; train the head again.") from error
        if not np.isfinite(value):
            raise WeightsInvalid(f"{self._what} gave no finite score; train the head again.")
        return value


def turning(z: Embeddings) -> float:
    """Mean angle in degrees between successive steps of the path ``z`` (T, D); 0 below three frames."""
    steps = np.diff(z, axis=0)
    size = np.linalg.norm(steps, axis=1)
    if len(steps) < 2:
        return 0.0
    cosine = (steps[1:] * steps[:-1]).sum(1) / np.maximum(size[1:] * size[:-1], 1e-12)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())


def whitening(z: Embeddings, *, ridge: float = 0.05) -> tuple[Embeddings, Embeddings]:
    """Mean (D,) and whitening matrix (D, D) of the embeddings of real frames ``z`` (N, D)."""
    mean = z.mean(0)
    covariance = np.cov(z - mean, rowvar=False)
    covariance += np.eye(z.shape[1]) * ridge * np.trace(covariance) / z.shape[1]
    values, vectors = np.linalg.eigh(covariance)
    return mean, vectors / np.sqrt(np.maximum(values, 1e-12))


def open_backbone(folder: Path) -> Backbone:
    """The plug-in of a local folder.

    Raises:
        WeightsInvalid: no such folder, no head, weights that are not safetensors, or the extra is missing.
    """
    try:
        document = json.loads((folder / "head.json").read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsInvalid(f"{folder} holds no readable head.json; see the model card.") from error
    if not list(folder.glob("*.safetensors")):
        raise WeightsInvalid(f"{folder} holds no safetensors weights; other forms are not loaded.")
    try:
        import torch
        from transformers import AutoImageProcessor, AutoModel
    except ImportError as error:
        raise WeightsInvalid(
            "A backbone needs torch and transformers; pip install 'guarded-sora[generate]' brings them."
        ) from error
    try:
        load: Any = AutoImageProcessor.from_pretrained
        processor = load(folder, local_files_only=True, use_fast=False)
        network = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    except (OSError, ValueError, KeyError) as error:
        raise WeightsInvalid(f"{folder} holds no backbone that can be loaded; download it whole.") from error
    vision = getattr(network, "vision_model", network)

    def embed(frames: NDArray[np.uint8]) -> Embeddings:
        with torch.no_grad():
            inputs = processor(images=list(frames), return_tensors="pt")
            answer = vision(inputs["pixel_values"])
            pooled = getattr(answer, "pooler_output", None)
            if pooled is None:
                pooled = answer.last_hidden_state.mean(1)
        return np.asarray(pooled.double().numpy())

    return Backbone(embed, document, what=f"{folder.name}/head.json")


__all__ = ["HEADS", "Backbone", "Embed", "open_backbone", "turning", "whitening"]
