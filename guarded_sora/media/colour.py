"""From decoded frames to sRGB bytes at the wanted size, in one pass of the scaler.

Legend: H height, W width.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

# AVColorSpace, AVColorRange and AVColorTransferCharacteristic (ITU-T H.273).
_MATRIX = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_FULL_RANGE = 2
PQ, HLG = 16, 18

_WHITE = 203.0  # cd/m2
_EXPOSURE, _KNEE = 0.75, 0.5
_TO_BT709 = np.array(  # linear BT.2020 to BT.709 primaries (ITU-R BT.2087)
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_LINEAR = np.arange(16384) / 16383.0
_SRGB = np.round(  # IEC 61966-2-1
    255 * np.where(_LINEAR <= 0.0031308, 12.92 * _LINEAR, 1.055 * _LINEAR ** (1 / 2.4) - 0.055)
).astype(np.uint8)


def is_hdr(frame: Any) -> bool:
    """Whether the frame's values are perceptual quantiser or hybrid log-gamma (ITU-R BT.2100)."""
    return frame.color_trc in (PQ, HLG)


def matrix_of(frame: Any) -> int:
    """The frame's matrix of ITU-T H.273: as tagged, else BT.709 from 720 lines on and BT.601 below."""
    if frame.colorspace in _MATRIX:
        return int(frame.colorspace)
    return 1 if min(frame.width, frame.height) >= 720 else 5


class ToRgb:
    """Turns frames of one film into uint8 (H, W, 3) sRGB of one size.

    Untagged films are taken as BT.709 from 720 lines on and as BT.601 below, as players do.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._scaler = VideoReformatter()

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        """The converted pixels; high dynamic range is mapped to what an ordinary screen shows."""
        if is_hdr(frame):
            return tone_map(self._pixels(self._scale(frame, "rgb48le"), np.uint16), frame.color_trc)
        return self._pixels(self._scale(frame, "rgb24"), np.uint8)

    def _pixels(self, rgb: Any, kind: type[Any]) -> NDArray[Any]:
        plane = rgb.planes[0]
        rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // np.dtype(kind).itemsize)
        return rows[: self.height, : self.width * 3].reshape(self.height, self.width, 3)

    def _scale(self, frame: Any, form: str) -> Any:
        smaller = self.width < frame.width or self.height < frame.height
        # AREA averages all source pixels, so small frames do not alias. Without the two other flags
        # the scaler's short cuts are off by up to 3 of 255; with them by less than 1, at 2.5 ms a
        # frame from 1080 to 360 lines and 10 ms at full size.
        interpolation = Interpolation.AREA if smaller else Interpolation.BILINEAR
        interpolation |= Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
        colours: dict[str, Any] = {}
        if not frame.format.is_rgb:
            full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
            colours = {
                "src_colorspace": _MATRIX[matrix_of(frame)],
                "src_color_range": ColorRange.JPEG if full else ColorRange.MPEG,
                "dst_color_range": ColorRange.JPEG,
            }
        return self._scaler.reformat(
            frame,
            width=self.width,
            height=self.height,
            format=form,
            interpolation=interpolation,
            threads=1,
            **colours,
        )


def tone_map(pixels: NDArray[np.uint16], transfer: int) -> NDArray[np.uint8]:
    """BT.2100 PQ or HLG with BT.2020 primaries, uint16 (H, W, 3) full range, to uint8 (H, W, 3) sRGB.

    Reference white (203 cd/m2, ITU-R BT.2408) comes out at 85 % sRGB; brighter light bends smoothly
    towards white. The bend is applied to the largest of the three, so hues stay.
    """
    light = _table(transfer)[pixels]
    if transfer == HLG:
        # The system gamma of a 1000 cd/m2 screen (BT.2100, table 5).
        luminance = light @ np.array([0.2627, 0.6780, 0.0593], np.float32)
        light *= (np.maximum(luminance, 1e-6) ** np.float32(0.2))[..., None] * np.float32(1000.0 / _WHITE)
    brightest = np.maximum(light.max(axis=2), np.float32(1e-6))
    light *= (_bend(brightest) / brightest)[..., None]
    linear = np.clip(light @ _TO_BT709.T, 0.0, 1.0)
    shown: NDArray[np.uint8] = _SRGB[
        (linear * np.float32(len(_SRGB) - 1) + np.float32(0.5)).astype(np.uint16)
    ]
    return shown


def _bend(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Straight up to half of white, then towards 1 without a corner."""
    scaled = light * np.float32(_EXPOSURE)
    over = np.maximum(scaled - np.float32(_KNEE), 0.0)
    room = np.float32(1.0 - _KNEE)
    bent: NDArray[np.float32] = np.minimum(scaled, np.float32(_KNEE)) + room * (1.0 - np.exp(-over / room))
    return bent


@functools.cache
def _table(transfer: int) -> NDArray[np.float32]:
    """Light for each 16-bit value: for PQ in units of reference white, for HLG scene light 0 to 1."""
    signal = np.arange(65536) / 65535.0
    if transfer == PQ:  # SMPTE ST 2084
        root = signal ** (1.0 / 78.84375)
        light = np.maximum(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)
        return (10_000.0 / _WHITE * light ** (1.0 / 0.1593017578125)).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073  # BT.2100, table 5
    return np.where(signal <= 0.5, signal**2 / 3.0, (np.exp((signal - c) / a) + b) / 12.0).astype(np.float32)
