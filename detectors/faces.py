"""Faces in a frame, and the embedding of each: dlib's detector with two freely licensed weight files.

The detector (histograms of gradients) is part of dlib. Landmarks and embedding come from two files of
the package ``face_recognition_models``, which their author placed in the public domain; they are read
as data after their SHA-256 was checked, and the package's code is never run. The third file of that
package, with 68 landmarks, may not be used commercially: it is never opened.

Known bias: the embedding was trained mostly on pictures of celebrities (VGG-Face, FaceScrub), and
such networks err more often on women, on children and on darker skin. The detector finds upright
frontal faces from about 40 pixels on; profiles and masks it misses. See docs/people-and-works.md.

Legend: H height, W width.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.cards import enlarged
from guarded_sora.detectors.errors import WeightsInvalid
from guarded_sora.policies.finding import Box
from guarded_sora.policies.weights import installed_file, read_pinned

LANDMARKS_SHA256 = "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888"
EMBEDDING_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
MOST_FACES = 64
"""Faces of one frame that are looked at, the largest first."""

_LONGEST_SIDE = 960
_SHORTEST_SIDE = 240


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """Where a face is in the frame, in pixels, and its embedding (D,). Never stored, printed or compared."""

    box: Box
    embedding: NDArray[np.float64] = field(repr=False)


class FaceModel(Protocol):
    """A face detector and embedder. Others bring theirs by implementing this."""

    @property
    def name(self) -> str:
        """Stands with every template; another name means that old templates cannot be compared."""
        ...

    @property
    def unavailable(self) -> str:
        """Why it cannot run here; empty when it can."""
        ...

    @property
    def weights_sha256(self) -> str: ...

    def faces(self, frame: NDArray[np.uint8]) -> Sequence[Face]:
        """The faces in a frame uint8 (H, W, 3) sRGB, largest first; may raise DetectorError."""
        ...


class DlibFaces:
    """The packaged model. It loads when first asked, in about a second."""

    name = "dlib-resnet-v1"
    weights_sha256 = EMBEDDING_SHA256

    def __init__(self) -> None:
        self._loaded: tuple[Any, Any, Any] | None = None

    @property
    def unavailable(self) -> str:
        """Empty with the extra ``[faces]``."""
        if find_spec("dlib") is None or not all(_files()):
            return "no face model is installed; pip install 'guarded-sora[faces]' brings one"
        return ""

    def faces(self, frame: NDArray[np.uint8]) -> Sequence[Face]:
        """The upright faces of ``frame``. Raises WeightsInvalid for files that are not the pinned ones."""
        detector, landmarks, embedder = self._load()
        factor, picture = _fitted(frame)
        boxes = sorted(detector(picture, 0), key=lambda box: -box.area())[:MOST_FACES]
        found = []
        for box in boxes:
            shape = landmarks(picture, box)
            embedding = np.asarray(embedder.compute_face_descriptor(picture, shape), dtype=np.float64)
            sides = (box.left(), box.top(), box.right(), box.bottom())
            left, top, right, bottom = (side / factor for side in sides)
            found.append(Face(box=Box(left=left, top=top, right=right, bottom=bottom), embedding=embedding))
        return found

    def _load(self) -> tuple[Any, Any, Any]:
        if self._loaded is None:
            import dlib

            landmarks, embedding = _files()
            # dlib reads paths only: it gets copies of the very bytes that were checked.
            with tempfile.TemporaryDirectory(prefix="faces-") as folder:
                paths = []
                for path, sha256 in ((landmarks, LANDMARKS_SHA256), (embedding, EMBEDDING_SHA256)):
                    copy = Path(folder) / sha256
                    copy.write_bytes(read_pinned(path or Path("missing"), sha256, error=WeightsInvalid))
                    paths.append(str(copy))
                self._loaded = (
                    dlib.get_frontal_face_detector(),
                    dlib.shape_predictor(paths[0]),
                    dlib.face_recognition_model_v1(paths[1]),
                )
        return self._loaded


def turned(model: FaceModel, frame: NDArray[np.uint8]) -> Sequence[Face]:
    """The faces of a single picture, also when it lies on its side or stands on its head.

    Boxes of a turned picture are in the turned picture's pixels.
    """
    for quarter in range(4):
        found = model.faces(np.ascontiguousarray(np.rot90(frame, quarter)))
        if found:
            return found
    return ()


def _files() -> tuple[Path | None, Path | None]:
    package = "face_recognition_models"
    return (
        installed_file(package, "models", "shape_predictor_5_face_landmarks.dat"),
        installed_file(package, "models", "dlib_face_recognition_resnet_model_v1.dat"),
    )


def _fitted(frame: NDArray[np.uint8]) -> tuple[float, NDArray[np.uint8]]:
    """``frame`` between the sizes at which faces are found in bounded time, and by how much it was scaled."""
    longest = max(frame.shape[:2])
    if longest > _LONGEST_SIDE:
        factor = _LONGEST_SIDE / longest
        size = (max(round(frame.shape[1] * factor), 1), max(round(frame.shape[0] * factor), 1))
        small = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        return small.shape[1] / frame.shape[1], np.ascontiguousarray(small)
    picture = enlarged(frame, _SHORTEST_SIDE) if longest * 4 >= _SHORTEST_SIDE else frame
    if max(picture.shape[:2]) > 4 * _LONGEST_SIDE:
        picture = frame
    return picture.shape[1] / frame.shape[1], np.ascontiguousarray(picture)
