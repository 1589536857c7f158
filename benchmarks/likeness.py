"""Protected face templates: error rates against gallery size, and time.

    python -m benchmarks.likeness [--json] [--faces FOLDER] [--probes 200]

``--faces`` names a folder with one folder of pictures for each person, of people whose pictures you
may use; same and different pairs are then measured with the packaged model. Without it only synthetic
embeddings are used: directions drawn at random around a common mean, as far apart as the 18 pairs of
real people that the bound was fitted to. They show what the template protection costs and how the
bound scales; they say nothing of how often real people are confused.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cpu_time import median_cpu_ms
from benchmarks.rows import print_report, print_rows, row
from guarded_sora.detectors.faces import DlibFaces, turned
from guarded_sora.detectors.likeness import EMBEDDING_NORM, bound
from guarded_sora.detectors.templates import TEMPLATE_WORDS, protect_template, template_distances

KEY = bytes(range(32))
SIZES = (10, 1_000, 100_000)
STRANGERS_APART = 0.79  # Euclidean distance of two people, the mean of the fitted pairs
SAME_APART = 0.35


def people(count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """(count, 128) embeddings whose mean distance is that of strangers."""
    spread = STRANGERS_APART / EMBEDDING_NORM
    common = np.eye(1, 128)[0] * np.sqrt(1.0 - spread**2 / 2)
    own = random.normal(size=(count, 128)) * (spread / np.sqrt(2) / np.sqrt(128))
    return np.asarray(EMBEDDING_NORM * (common + own))


def again(embeddings: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Other pictures of the same people."""
    noise = random.normal(size=embeddings.shape)
    return np.asarray(embeddings + noise / np.linalg.norm(noise, axis=1, keepdims=True) * SAME_APART)


def protect(embeddings: NDArray[np.float64]) -> NDArray[np.uint64]:
    blobs = b"".join(protect_template(item, KEY) for item in embeddings)
    return np.frombuffer(blobs, dtype=np.uint64).reshape(-1, TEMPLATE_WORDS)


def synthetic(size: int, probes: int) -> dict[str, float]:
    """Error rates and time of a gallery of ``size``."""
    random = np.random.default_rng(size)
    enrolled = people(size, random)
    gallery = protect(enrolled)
    limit = bound(size)
    known = again(enrolled[:probes], random)
    start = time.process_time()
    taken = sum(
        float(template_distances(protect_template(probe, KEY), gallery).min()) <= limit
        for probe in people(probes, random)
    )
    spent = time.process_time() - start
    missed = sum(
        float(template_distances(protect_template(probe, KEY), gallery[index : index + 1])[0]) > limit
        for index, probe in enumerate(known)
    )
    return {
        "bound": limit,
        "false positive identification": taken / probes,
        "false negative": missed / len(known),
        "cpu ms per probe": 1000.0 * spent / probes,
    }


def pictures(folder: Path) -> dict[str, list[NDArray[np.float64]]]:
    """Embeddings of every picture with exactly one face, by person."""
    from PIL import Image, ImageOps

    model = DlibFaces()
    found: dict[str, list[NDArray[np.float64]]] = {}
    for path in sorted(folder.glob("*/*")):
        picture = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        faces = turned(model, picture)
        if len(faces) == 1:
            found.setdefault(path.parent.name, []).append(faces[0].embedding)
    return found


def real(folder: Path) -> dict[str, Any]:
    """Template distances of same and of different people, as the packaged model sees them."""
    found = {name: protect(np.stack(items)) for name, items in pictures(folder).items()}
    same = [
        float(template_distances(a.tobytes(), b[None])[0])
        for items in found.values()
        for a, b in itertools.combinations(items, 2)
    ]
    different = [
        float(template_distances(a.tobytes(), other).min())
        for (_, items), (_, other) in itertools.combinations(found.items(), 2)
        for a in items
    ]
    curve = {
        f"{limit:.3f}": {
            "missed": float(np.mean([value > limit for value in same])) if same else None,
            "confused": float(np.mean([value <= limit for value in different])) if different else None,
        }
        for limit in np.linspace(0.08, 0.24, 9)
    }
    return {"people": len(found), "same pairs": len(same), "different pairs": len(different), "curve": curve}


def time_per_frame() -> float | None:
    """CPU milliseconds of detector and embedding on a 512 x 512 portrait; None without the extra."""
    model = DlibFaces()
    if model.unavailable:
        return None
    from skimage import data

    picture = np.ascontiguousarray(data.astronaut())
    return median_cpu_ms(lambda: model.faces(picture))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    given = parser.parse_args(arguments)
    detail: dict[str, Any] = {f"{size:,}": synthetic(size, given.probes) for size in given.sizes}
    rows = [
        row(f"{name}, gallery of {size}", value, better="lower", unit="ms" if "ms" in name else "share")
        for size, result in detail.items()
        for name, value in result.items()
    ]
    frame = time_per_frame()
    if frame is not None:
        rows.append(
            row("detector and embedding, 512 x 512, one face", frame, better="lower", unit="ms", digits=1)
        )
    if given.faces is not None:
        detail["real"] = real(given.faces)
    if given.json:
        environment = {"python": platform.python_version(), "probes": given.probes, "embeddings": "synthetic"}
        print_report("likeness", environment, rows, detail=detail)
        return
    print_rows(rows)
    if "real" in detail:
        print(json.dumps(detail["real"], indent=1))


if __name__ == "__main__":
    main()
