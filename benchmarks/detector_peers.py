"""Others that run offline, asked about the same films as the detector.

*Second difference of pixels* is training-free (Zheng et al., ICCV 2025), without that paper's encoder.

*authentica* 0.2.2 (PyPI, MIT) is no dependency; it takes part where it can be imported, and is left out
with a line on stderr where not:

    pip install --no-deps --target FOLDER authentica==0.2.2 pywavelets piexif cbor2
    PYTHONPATH=FOLDER python -m benchmarks.detector ...

It judges pictures. Of a film file it reads credentials and metadata alone, so ``authentica.scan(film)``
answers a trust score of 50 whatever the film shows. It is therefore given frames: the middle one of each
window that our model sees, whole and in colour, as PNG, through ``authentica.scan(path)`` with everything
switched on, as its documentation calls it. Its score of a film is 100 minus the mean ``trust_score``
(0 to 100; 40 points for its anomaly score of error levels, noise and spectrum, 10 for a suspected
watermark, 25 for credentials, which frames have not). Its weights and threshold are its own. Where its
noise correlation is undefined (a flat beginning of the picture) it answers a trust score of 100, which
is taken at its word and counted.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.synthetic.features import FRAMES

SECOND_DIFFERENCE = "second difference of pixels"
AUTHENTICA = "authentica"

Film = NDArray[np.uint8]
Floats = NDArray[np.float64]


def second_difference(film: Film) -> float:
    """Minus the spread of the second difference of successive frames, on pixels."""
    small = np.stack(
        [
            cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
            for f in film
        ]
    ).reshape(len(film), -1)
    z = small.astype(np.float64) - small.mean(1, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True) + 1e-9
    return -float(np.diff(np.linalg.norm(np.diff(z, axis=0), axis=1)).std())


def pictures(film: Film) -> NDArray[np.bytes_]:
    """The middle frame of each window of nine of uint8 (T, H, W, 3), as PNG files."""
    found = []
    for start in range(0, len(film) - FRAMES + 1, FRAMES):
        done, file = cv2.imencode(".png", film[start + FRAMES // 2][..., ::-1])
        assert done
        found.append(file.tobytes())
    return np.array(found)


def peers_of(families: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Floats]]:
    """What each peer that is here says of each film, by peer and family: higher is more synthetic."""
    found = {SECOND_DIFFERENCE: {name: data["second_difference"] for name, data in families.items()}}
    without = [name for name, data in families.items() if "pictures" not in data]
    if without:
        print(f"{AUTHENTICA}: no pictures were kept of {', '.join(without)}; left out", file=sys.stderr)
    elif importlib.util.find_spec(AUTHENTICA) is None:
        print(f"{AUTHENTICA}: it is not installed; left out", file=sys.stderr)
    elif families:
        found[authentica_name()] = {name: authentica(data["pictures"]) for name, data in families.items()}
    return found


def authentica_name() -> str:
    from importlib.metadata import version

    return f"{AUTHENTICA} {version(AUTHENTICA)} trust score"


def authentica(films: Iterable[Iterable[bytes]]) -> Floats:
    """100 minus its mean trust score over the pictures of each film, (N,)."""
    from authentica import scan

    scores, blind = [], 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.png"
        for film in films:
            said = []
            for file in film:
                path.write_bytes(file)
                answer = scan(path)
                if answer.errors or answer.forensics is None or answer.watermark is None:
                    raise RuntimeError(f"{AUTHENTICA} did not judge a picture: {answer.errors}")
                blind += not np.isfinite(answer.forensics.anomaly_score)
                said.append(float(answer.trust_score))
            scores.append(100.0 - float(np.mean(said)))
    if blind:
        print(f"{AUTHENTICA}: {blind} pictures with an undefined score, trusted in full", file=sys.stderr)
    return np.array(scores)
