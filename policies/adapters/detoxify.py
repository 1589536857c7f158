"""Detoxify on a local checkpoint that is checked first and whose pickle is never run.

Detoxify opens a checkpoint with a loader that executes what is inside. So the file is read once, held
against its pinned SHA-256, opened with torch's loader for plain tensors and values, which refuses code, and
written anew; only that copy reaches the class ``Detoxify``. Configuration and tokenizer come from a
local folder, never from a hub. After loading, every weight of the model must be one of the checkpoint's,
since a checkpoint without its last layer would otherwise score by chance.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from guarded_sora.policies.adapters.report import Reading, findings_of
from guarded_sora.policies.errors import ModelInvalid
from guarded_sora.policies.finding import Finding, RequestContext
from guarded_sora.policies.text.normalise import sanitise
from guarded_sora.policies.weights import read_pinned

READINGS: Final[Mapping[str, Reading]] = {
    "toxicity": Reading(category="harassment", at=0.9, severity=1),
    "severe_toxicity": Reading(category="harassment", at=0.5),
    "obscene": Reading(category="sexual.suggestive", at=0.9, severity=1),
    "sexual_explicit": Reading(category="sexual.explicit", at=0.7),
    "threat": Reading(category="harassment", at=0.5),
    "insult": Reading(category="harassment", at=0.9, severity=1),
    "identity_attack": Reading(category="hate", at=0.5),
}
"""The published outputs. Swear words raise them whatever is meant, so the mild ones stay at severity 1."""

_MODELS: Final = (
    "AlbertForSequenceClassification",
    "BertForSequenceClassification",
    "RobertaForSequenceClassification",
    "XLMRobertaForSequenceClassification",
)
_TOKENIZERS: Final = ("AlbertTokenizer", "BertTokenizer", "RobertaTokenizer", "XLMRobertaTokenizer")
_LONGEST: Final = 512


class DetoxifyCheck:
    """Toxicity of a text, in pieces of at most 512 tokens. The model is loaded at the first prompt."""

    def __init__(
        self,
        *,
        name: str,
        checkpoint: Path,
        sha256: str,
        folder: Path,
        readings: Mapping[str, Reading] = READINGS,
    ) -> None:
        self.name = name
        self.version = f"detoxify-{sha256[:12]}"
        self.weights_sha256: str | None = sha256
        self._checkpoint = checkpoint
        self._folder = folder
        self._readings = readings
        self._model: Any = None
        self._lock = threading.Lock()
        self.unavailable = ""
        if find_spec("detoxify") is None or find_spec("torch") is None:
            self.unavailable = "detoxify is not installed; pip install 'guarded-sora[detoxify]' brings it"

    def check(self, text: str, context: RequestContext) -> Sequence[Finding]:
        """The highest score of each output over the pieces of ``text``.

        Raises:
            ModelInvalid: the checkpoint is not the pinned one, holds code, or does not fit its model.
        """
        with self._lock:
            if self._model is None:
                self._model = self._load()
            best: dict[str, float] = {}
            for piece in self._pieces(sanitise(text)):
                for label, score in self._model.predict(piece).items():
                    best[label] = max(best.get(label, 0.0), float(score))
        # The published models differ in their outputs; what a card reads by name must be there.
        absent = self._readings.keys() - best.keys()
        if absent and (self._readings is not READINGS or absent == self._readings.keys()):
            raise ModelInvalid(f"{self.name} does not give every output that its card reads; correct it.")
        read = [
            (label, score, self._readings[label]) for label, score in best.items() if label in self._readings
        ]
        return findings_of(self.name, self.version, read)

    def _pieces(self, text: str) -> Iterator[str]:
        tokenizer = self._model.tokenizer
        ids = tokenizer.encode(text, add_special_tokens=False, truncation=False, verbose=False)
        room = tokenizer.model_max_length - tokenizer.num_special_tokens_to_add()
        if len(ids) <= room:
            yield text
            return
        for start in range(0, len(ids), room // 2):
            yield tokenizer.decode(ids[start : start + room // 2])

    def _load(self) -> Any:
        loaded = _plain_checkpoint(self._checkpoint, str(self.weights_sha256))
        arguments = loaded["config"]["arch"]["args"]
        if arguments.get("model_name") not in _MODELS or arguments.get("tokenizer_name") not in _TOKENIZERS:
            raise ModelInvalid(
                f"{self._checkpoint.name} names a model or tokenizer that Detoxify does not use."
            )
        if not (self._folder / "config.json").is_file():
            raise ModelInvalid(f"{self._folder} holds no config.json; give the model's own local folder.")
        arguments["model_type"] = str(self._folder)
        unknown = [label for label in self._readings if label not in READINGS]
        if unknown:
            raise ModelInvalid(f"Detoxify has no output {unknown[0]!r}; correct the card.")
        detoxify = importlib.import_module("detoxify")
        with _private_copy(loaded) as path, _offline():
            try:
                model = detoxify.Detoxify(checkpoint=str(path))
            except Exception as error:
                raise ModelInvalid(
                    f"Detoxify cannot use {self._checkpoint.name} ({type(error).__name__}); check the card."
                ) from error
        _same_weights(model.model.state_dict(), loaded["state_dict"], self._checkpoint.name)
        limit = min(
            int(model.tokenizer.model_max_length), model.model.config.max_position_embeddings, _LONGEST
        )
        # RoBERTa counts positions from two on.
        model.tokenizer.model_max_length = limit - 2 if "Roberta" in arguments["model_name"] else limit
        return model


def _plain_checkpoint(path: Path, sha256: str) -> dict[str, Any]:
    import torch

    data = read_pinned(path, sha256)
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        arguments, classes = loaded["config"]["arch"]["args"], loaded["config"]["dataset"]["args"]["classes"]
        if not isinstance(arguments, dict) or not isinstance(loaded["state_dict"], dict) or not classes:
            raise TypeError("shape")
    except Exception as error:
        raise ModelInvalid(
            f"{path.name} holds code or is no checkpoint of Detoxify; it was not opened."
        ) from error
    return {
        "config": {"arch": {"args": dict(arguments)}, "dataset": {"args": {"classes": list(classes)}}},
        "state_dict": dict(loaded["state_dict"]),
    }


@contextlib.contextmanager
def _private_copy(loaded: Mapping[str, Any]) -> Iterator[Path]:
    import torch

    with tempfile.TemporaryDirectory(prefix="guarded-sora-") as folder:  # only this user can enter it
        path = Path(folder) / "checkpoint.pt"
        torch.save(dict(loaded), path)
        yield path


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _same_weights(model: Mapping[str, Any], checkpoint: Mapping[str, Any], name: str) -> None:
    missing = [key for key in model if key not in checkpoint and not key.endswith("position_ids")]
    if missing:
        raise ModelInvalid(
            f"{name} lacks {missing[0]}, so the model would score by chance; get the whole file."
        )
    for key, value in model.items():
        if key in checkpoint and not bool((value == checkpoint[key]).all()):
            raise ModelInvalid(f"{name}: {key} did not reach the model; check the versions of the extra.")
