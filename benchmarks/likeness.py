"""Protected face templates: error rates against gallery size, and time.

    python -m benchmarks.likeness [--json] [--faces FOLDER [--skip 0]] [--probes 200]

``--faces`` names a folder with one folder of pictures for each person, of people whose pictures you
may use; same and different pairs are then measured with the packaged model, without the first
``--skip`` people, whom the bound may have been fitted to. The synthetic embeddings are directions drawn
at random around a common mean, as far apart on average as those of real people were: they show what the
template protection costs and how time and bound grow with the gallery, and say nothing of how often
real people are confused.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cpu_time import median_cpu_ms
from benchmarks.rows import print_report, print_rows, row
from guarded_sora.detectors.faces import DlibFaces, turned
from guarded_sora.detectors.likeness import EMBEDDING_NORM, REVIEW_MARGIN, STRANGERS, bound
from guarded_sora.detectors.templates import TEMPLATE_WORDS, protect_template, template_distances

KEY = bytes(range(32))
SEED = 20261122
GALLERIES = 20
SIZES = (10, 1_000, 100_000)
STRANGERS_APART = 0.73  # Euclidean distance of two people, the mean of the pairs that were measured
SAME_APART = 0.32
TAIL = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)


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


def pictures(folder: Path, skip: int = 0) -> tuple[dict[str, list[NDArray[np.float64]]], dict[str, int]]:
    """Embeddings of every picture with exactly one face, by person, and how many faces were found."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    model = DlibFaces()
    found: dict[str, list[NDArray[np.float64]]] = {}
    seen = {"one face": 0, "no face": 0, "several faces": 0}
    people = sorted(
        (item for item in folder.iterdir() if item.is_dir()), key=lambda item: (len(item.name), item)
    )
    for path in (path for person in people[skip:] for path in sorted(person.iterdir())):
        try:
            picture = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
        except UnidentifiedImageError:
            continue
        faces = turned(model, picture)
        seen["no face" if not faces else "one face" if len(faces) == 1 else "several faces"] += 1
        if len(faces) == 1:
            found.setdefault(path.parent.name, []).append(faces[0].embedding)
    return found, seen


def real(folder: Path, skip: int) -> dict[str, Any]:
    """Template distances of same and of different people, as the packaged model sees them, and what the
    bound makes of them: measured in galleries of the people there are, and carried to larger ones by
    a normal line through the nearest pairs of different people, as the bound itself was."""
    embeddings, seen = pictures(folder, skip)
    found = {name: protect(np.stack(items)) for name, items in embeddings.items()}
    same = np.array(
        [
            template_distances(a.tobytes(), b[None])[0]
            for items in found.values()
            for a, b in itertools.combinations(items, 2)
        ]
    )
    different = np.concatenate(
        [
            template_distances(a.tobytes(), other)
            for (_, items), (_, other) in itertools.combinations(found.items(), 2)
            for a in items
        ]
    )
    curve = {
        f"{limit:.3f}": {
            "missed": float(np.mean(same > limit)),
            "confused": float(np.mean(different <= limit)),
        }
        for limit in np.linspace(0.08, 0.24, 17)
    }
    slope, middle = np.polyfit(
        [NormalDist().inv_cdf(share) for share in TAIL], np.quantile(different, TAIL), 1
    )
    fitted = NormalDist(float(middle), float(slope))
    lengths = np.concatenate([np.linalg.norm(np.stack(items), axis=1) for items in embeddings.values()])
    return {
        "pictures": seen,
        "people": len(found),
        "same pairs": len(same),
        "different pairs": len(different),
        "mean length of an embedding": float(lengths.mean()),
        "same": {"mean": float(same.mean()), "sd": float(same.std()), "largest": float(same.max())},
        "different": {
            "mean": float(different.mean()),
            "sd": float(different.std()),
            "least": float(different.min()),
        },
        "line through the nearest": {"mean": fitted.mean, "sd": fitted.stdev},
        "assumed of strangers": {"mean": STRANGERS.mean, "sd": STRANGERS.stdev},
        "curve": curve,
        "identification": {
            f"{size:,}": {
                "bound": bound(size),
                "missed": float(np.mean(same > bound(size))),
                "missed, and not even sent to review": float(np.mean(same > REVIEW_MARGIN * bound(size))),
                "false positive identification, measured": identified(found, size),
                "false positive identification, by the line": 1.0 - (1.0 - fitted.cdf(bound(size))) ** size,
            }
            for size in sorted({*SIZES, len(found) - 1})
        },
    }


def identified(found: dict[str, NDArray[np.uint64]], size: int) -> float | None:
    """Share of pictures of people who are not enrolled that are taken for one of ``size`` enrolled by one
    picture; None where there are not so many people."""
    if size >= len(found):
        return None
    random = np.random.default_rng(SEED)
    limit, taken, asked = bound(size), 0, 0
    for name, probes in found.items():
        others = [other for other in found if other != name]
        for _ in range(GALLERIES):
            chosen = random.choice(others, size=size, replace=False)
            gallery = np.stack([found[other][random.integers(len(found[other]))] for other in chosen])
            for probe in probes:
                asked += 1
                taken += float(template_distances(probe.tobytes(), gallery).min()) <= limit
    return taken / asked


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
    parser.add_argument("--skip", type=int, default=0)
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
        detail["real"] = real(given.faces, given.skip)
    if given.json:
        environment = {"python": platform.python_version(), "probes": given.probes, "embeddings": "synthetic"}
        print_report("likeness", environment, rows, detail=detail)
        return
    print_rows(rows)
    if "real" in detail:
        print(json.dumps(detail["real"], indent=1))


if __name__ == "__main__":
    main()
