"""Readers whose networks the user brings: TrustMark (ONNX decoder) and Video Seal (TorchScript).

Neither is shipped or fetched. A card, a TOML file, names the weights and their SHA-256, and the messages
to recognise; without a card, a runtime, or the very bytes that were pinned, the reader is ``unavailable``.

    kind = "videoseal"                    # or "trustmark", "dwtDct", "dwtDctSvd", "rivaGan"
    weights = "y_256b_img.jit"            # beside the card, or absolute; not for invisible-watermark's modes
    sha256 = "..."
    [[messages]]
    name = "our studio"
    hex = "00ff..."                       # as many bits as the mark has
    synthetic = true                      # who writes it says that the picture is made

Sources: TrustMark, Bui et al. 2023 (decoder of variant Q: float32 (1, 3, 256, 256) in -1..1 to (1, 100));
Video Seal, Fernandez et al. 2024 (``detect``: float32 (F, 3, H, W) in 0..1 to (F, 1 + 256), above 0 is 1).
"""

from __future__ import annotations

import io
import tomllib
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from guarded_sora.errors import ProvenanceError, UsageError
from guarded_sora.policies.weights import read_pinned
from guarded_sora.provenance.watermark.invisible import MODES, InvisibleWatermarkDecoder
from guarded_sora.provenance.watermark.readers import (
    BitDecoder,
    Bits,
    KnownMessage,
    MessageReader,
    bits_of_number,
)

LENGTHS = {"trustmark": 100, "videoseal": 256}
_SIDE = 256


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=80)
    hex: str = Field(pattern=r"^[0-9a-fA-F]{4,64}$")
    synthetic: bool = False


class ReaderCard(BaseModel):
    """A card as written by the user."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["trustmark", "videoseal", "dwtDct", "dwtDctSvd", "rivaGan"]
    weights: Path | None = None
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    messages: tuple[_Message, ...] = Field(default=(), max_length=1000)


def read_card(path: Path) -> MessageReader:
    """The reader that a card describes; it may be ``unavailable``, and says why.

    Raises:
        UsageError: the card cannot be read or is not one.
    """
    try:
        card = ReaderCard.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The mark reader's card {path} cannot be read; check the path.") from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise UsageError(f"{path} is no card of a mark reader; see docs/watermark.md.") from error
    messages = [_known(item, card.kind, path) for item in card.messages]
    return MessageReader(_decoder(card, path), messages)


def _known(item: _Message, kind: str, path: Path) -> KnownMessage:
    count = LENGTHS.get(kind, 4 * len(item.hex))
    if len(item.hex) != -(-count // 4) or int(item.hex, 16) >> count:
        raise UsageError(f"The message {item.name!r} in {path} must have {count} bits.")
    bits = bits_of_number(int(item.hex, 16), count)
    return KnownMessage(name=item.name, bits=bits, mode=kind, synthetic=item.synthetic)


def _decoder(card: ReaderCard, path: Path) -> BitDecoder:
    if card.kind in MODES:
        return InvisibleWatermarkDecoder()
    if card.weights is None or not card.sha256:
        raise UsageError(f"{path} must name the weights of {card.kind} and their sha256.")
    weights = path.parent / card.weights
    if card.kind == "trustmark":
        return TrustMarkDecoder(weights, card.sha256)
    return VideoSealDecoder(weights, card.sha256)


class _Pinned(ABC):
    """Weights that are loaded once, from the bytes that were checked."""

    name = ""
    runtime = ""

    def __init__(self, weights: Path, sha256: str) -> None:
        self._weights, self._sha256 = weights, sha256
        self._model: Any = None

    @property
    def version(self) -> str:
        """The weights are the version."""
        return self._sha256[:12]

    @property
    def unavailable(self) -> str:
        if find_spec(self.runtime) is None:
            return f"{self.name} needs {self.runtime}; install it"
        if not self._weights.is_file():
            return f"the weights {self._weights.name} of {self.name} are not there; see its card"
        return ""

    def _loaded(self) -> Any:
        if self._model is None:
            data = read_pinned(self._weights, self._sha256, error=ProvenanceError)
            try:
                self._model = self._load(data)
            except Exception as error:
                raise ProvenanceError(
                    f"The weights of {self.name} do not load ({type(error).__name__}); get them again."
                ) from error
        return self._model

    @abstractmethod
    def _load(self, data: bytes) -> Any:
        """The network in these bytes, which were checked."""


class TrustMarkDecoder(_Pinned):
    """TrustMark's decoder network as ONNX: 100 raw bits, its error correction included in them."""

    name = "trustmark"
    runtime = "onnxruntime"

    def decode(self, frame: NDArray[np.uint8], mode: str, count: int) -> Bits | None:
        """100 bits of a frame, scaled to 256 x 256."""
        session = self._loaded()
        small = cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
        values = (small.astype(np.float32) / 127.5 - 1.0).transpose(2, 0, 1)[None]
        try:
            answer = session.run(None, {session.get_inputs()[0].name: values})[0]
        except Exception as error:
            raise ProvenanceError(
                f"TrustMark's network failed ({type(error).__name__}); check its card."
            ) from error
        return _bits(answer, count)

    def _load(self, data: bytes) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


class VideoSealDecoder(_Pinned):
    """Video Seal as TorchScript: 256 bits after one that tells how sure it is."""

    name = "videoseal"
    runtime = "torch"

    def decode(self, frame: NDArray[np.uint8], mode: str, count: int) -> Bits | None:
        """256 bits of a frame at its own size."""
        import torch

        model = self._loaded()
        values = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1))[None]).float() / 255.0
        try:
            with torch.no_grad():
                answer = model.detect(values, is_video=False)
        except Exception as error:
            raise ProvenanceError(
                f"Video Seal's network failed ({type(error).__name__}); check its card."
            ) from error
        return _bits(np.asarray(answer)[:, 1:], count)

    def _load(self, data: bytes) -> Any:
        import torch

        load: Any = torch.jit.load
        return load(io.BytesIO(data), map_location="cpu").eval()


def _bits(answer: Any, count: int) -> Bits | None:
    values = np.asarray(answer, dtype=np.float64).ravel()
    return np.asarray(values > 0.0) if len(values) == count else None
