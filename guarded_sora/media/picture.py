"""Reads pictures that come as prompts. Runs inside the worker.

Legend: H height, W width.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from guarded_sora.errors import MediaError
from guarded_sora.media.info import MediaLimits

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


def read_picture(path: Path, limits: MediaLimits) -> NDArray[np.uint8]:
    """uint8 (H, W, 3) sRGB: turned upright, colour profile applied, transparency laid on white.

    Raises MediaError.
    """
    Image.MAX_IMAGE_PIXELS = None  # the size is checked below, before anything is decoded
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                if width * height > limits.max_picture_pixels:
                    raise MediaError(
                        f"{path} has {width} x {height} pixels, more than the"
                        f" {limits.max_picture_pixels} allowed; scale it down first."
                    )
                image.seek(0)
                return _pixels(image)
    except (MediaError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise MediaError(f"{path} is not a picture we can read; convert it to PNG or JPEG.") from None
    except Exception:  # decoders raise almost anything on hostile input
        raise MediaError(f"{path} is a damaged picture; get a fresh copy.") from None


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    profile = image.info.get("icc_profile")
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layered = upright.convert("RGBA")
        upright = Image.new("RGBA", layered.size, "white")
        upright.alpha_composite(layered)
    elif upright.mode.startswith("I;16") or upright.mode == "I":
        upright = Image.fromarray((np.asarray(upright, np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    upright = _to_srgb(upright, profile)
    return np.array(upright.convert("RGB"), np.uint8)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Apply an embedded profile where it fits; a broken one is ignored, as viewers do."""
    if not profile or image.mode not in ("RGB", "CMYK", "L"):
        return image
    try:
        converted = ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return converted or image
