"""invisible-watermark's marks, and the constants that Stable Diffusion's own scripts write with it.

The package is an extra, ``[legacy-watermarks]``, and is imported when it is first used: it brings torch.
Its marks have no key and no checksum; its own decoder gives bits for every picture.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.watermark.readers import (
    Bits,
    KnownMessage,
    MessageReader,
    bits_of_bytes,
    bits_of_number,
)

PACKAGE = "invisible-watermark"
MODES = ("dwtDct", "dwtDctSvd", "rivaGan")

PUBLIC_MESSAGES = (
    KnownMessage(
        name="Stable Diffusion XL",
        bits=bits_of_number(0b101100111110110010010000011110111011000110011110, 48),
        mode="dwtDct",
        synthetic=True,
    ),
    KnownMessage(
        name="Stable Diffusion 1",
        bits=bits_of_bytes(b"StableDiffusionV1"),
        mode="dwtDct",
        synthetic=True,
    ),
    KnownMessage(name="Stable Diffusion 2", bits=bits_of_bytes(b"SDV2"), mode="dwtDct", synthetic=True),
)
"""What the public scripts of these generators write into every picture (SDXL: also diffusers)."""

_LEAST_PIXELS = 256 * 256


class InvisibleWatermarkDecoder:
    """The package's decoder; ``mode`` is dwtDct, dwtDctSvd or rivaGan (32 bits, seconds a frame)."""

    name = PACKAGE

    def __init__(self) -> None:
        self._class: Any = None
        self._riva_loaded = False

    @property
    def version(self) -> str:
        try:
            return version(PACKAGE)
        except PackageNotFoundError:
            return "none"

    @property
    def unavailable(self) -> str:
        if find_spec("imwatermark") is None:
            return "older public marks are not read; pip install 'guarded-sora[legacy-watermarks]'"
        return ""

    def decode(self, frame: NDArray[np.uint8], mode: str, count: int) -> Bits | None:
        """Bits of one frame; None below 256 x 256 pixels, where the package writes nothing."""
        if frame.shape[0] * frame.shape[1] < _LEAST_PIXELS:
            return None
        if mode not in MODES:
            raise ProvenanceError(f"invisible-watermark has no mode {mode!r}; use one of {', '.join(MODES)}.")
        try:
            decoder = self._decoder(mode)("bits", count)
            bits = decoder.decode(np.ascontiguousarray(frame[..., ::-1]), mode)
        except Exception as error:
            raise ProvenanceError(
                f"invisible-watermark could not read a frame ({type(error).__name__}); "
                "reinstall the extra 'legacy-watermarks' or remove it."
            ) from error
        found = np.asarray(bits, dtype=np.float64).ravel() > 0.5
        return found if len(found) == count else None

    def _decoder(self, mode: str) -> Any:
        if self._class is None:
            self._class = import_module("imwatermark").WatermarkDecoder
        if mode == "rivaGan" and not self._riva_loaded:
            self._class.loadModel()
            self._riva_loaded = True
        return self._class


def public_constants() -> MessageReader:
    """The reader that recognises Stable Diffusion's public constants."""
    return MessageReader(InvisibleWatermarkDecoder(), PUBLIC_MESSAGES)
