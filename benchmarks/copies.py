"""Edited copies against a gallery: what each method still recognises, at zero false matches.

    python -m benchmarks.copies [--json] [--films 8] [--seconds 3] [--strangers FOLDER]

Every film is made from the sample pictures that ``scikit-image`` carries. "ours" is the check as it runs,
with its own fixed bounds: hashes within 60 bits, then parts by local features. The other columns are
methods whose threshold is the largest at which no edited film is taken for another one, found on the
same edits: optimistic, and the same for all of them. Strangers are films and pictures that are not
registered, and ``--strangers`` names a folder of more; whatever the check finds in them is a false
match. Peers that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.copies_films import EDITS, FPS, REGISTERED, Film, films, strangers
from benchmarks.rows import Row, print_report, ratio_of
from guarded_sora.detectors.copies import WorksFrames
from guarded_sora.detectors.fingerprint import fingerprint, hamming, mirrored
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.detectors.gallery import WorkHashes, WorkHit, WorkKeyframes, WorkReference
from guarded_sora.detectors.keyframes import Keyframe, Stills, describe, telling_stills

HASHES = "hashes, zero false"


class Register:
    """Works in memory: what the installation's registry answers, without its database."""

    def __init__(self, sources: Sequence[Film]) -> None:
        self._works: list[WorkReference] = []
        self._keyframes: list[tuple[int, Keyframe]] = []
        for number, film in enumerate(sources):
            stills = Stills(most=600)
            hashes = fingerprint(stills.watching([_batch(film)]))
            self._works.append(
                WorkReference(reference=number, subject=str(number), kind="clip", hashes=tuple(hashes))
            )
            self._keyframes += [(number, describe(item)) for item in telling_stills(stills.taken())]

    def works_version(self) -> str:
        return "1"

    def registered(self) -> bool:
        return bool(self._works)

    def work(self, reference: int) -> WorkReference | None:
        return self._works[reference]

    def work_hashes(self, *, most: int) -> WorkHashes | None:
        every = [(work, place, item) for work in self._works for place, item in enumerate(work.hashes)]
        return WorkHashes(
            bits=np.frombuffer(b"".join(item.bits for _, _, item in every), dtype=np.uint64).reshape(-1, 4),
            references=tuple(work.reference for work, _, _ in every),
            positions=tuple(place for _, place, _ in every),
        )

    def work_keyframes(self, *, most: int) -> WorkKeyframes | None:
        return WorkKeyframes(
            keyframes=tuple(item for _, item in self._keyframes),
            references=tuple(number for number, _ in self._keyframes),
        )

    def resembling_works(self, bits: bytes, *, within: int) -> Sequence[WorkHit]:
        every = self.work_hashes(most=0)
        assert every is not None
        wanted = np.frombuffer(bits, dtype=np.uint64)
        distances = np.bitwise_count(every.bits ^ wanted).sum(1)
        return [
            WorkHit(
                reference=every.references[place],
                position=every.positions[place],
                distance=int(distances[place]),
            )
            for place in np.flatnonzero(distances <= within)
        ]


def _batch(film: Film) -> FrameBatch:
    return FrameBatch(frames=film, times=np.arange(len(film)) / FPS, fps=FPS)


def whole_check(
    sources: Sequence[Film], edited: dict[str, list[Film]], others: dict[str, Film]
) -> dict[str, Any]:
    """The check as it runs: recall for each edit, and every false match by name."""
    check = WorksFrames(Register(sources))
    found: dict[str, float] = {}
    false: list[str] = []
    start, seconds = time.process_time(), 0.0
    for name, copies in edited.items():
        seen = [{item.subject for item in check.inspect_film([_batch(copy)]).findings} for copy in copies]
        found[name] = float(np.mean([str(index) in subjects for index, subjects in enumerate(seen)]))
        false += [
            f"{name} of {REGISTERED[index]} for {REGISTERED[int(wrong)]}"
            for index, subjects in enumerate(seen)
            for wrong in subjects
            if wrong is not None and wrong != str(index)
        ]
        seconds += sum(len(copy) for copy in copies) / FPS
    cost = 1000 * (time.process_time() - start) / seconds
    for name, film in others.items():
        false += [
            f"{name} for {REGISTERED[int(item.subject or 0)]}: {item.evidence}"
            for item in check.inspect_film([_batch(film)]).findings
        ]
    return {
        "closest stranger": None,
        "cpu ms per second of film": cost,
        "recall": found,
        "strangers": len(others),
        "false matches": false,
    }


def across(others: dict[str, Film]) -> dict[str, Any]:
    """Every stranger registered, and every other one looked for: pairs, and those that were matched."""
    names = list(others)
    check = WorksFrames(Register([others[name] for name in names]))
    false = [
        f"{name} for {names[int(item.subject or 0)]}: {item.evidence}"
        for index, name in enumerate(names)
        for item in check.inspect_film([_batch(others[name])]).findings
        if item.subject != str(index)
    ]
    return {"pairs": len(names) * (len(names) - 1), "matched": false}


def ours(film: Film) -> list[bytes]:
    return [item.bits for item in fingerprint([_batch(film)])]


def ours_distance(a: Sequence[bytes], b: Sequence[bytes]) -> float:
    """Of the nearest second, mirrored or not: what the check looks up."""
    return min(min(hamming(x, y), hamming(mirrored(x), y)) / 256 for x in a for y in b)


def imagehash_method(name: str) -> tuple[Callable[[Film], Any], Callable[[Any, Any], float]]:
    import imagehash
    from PIL import Image

    function = getattr(imagehash, name)

    def hashes(film: Film) -> list[Any]:
        return [function(Image.fromarray(frame)) for frame in film[:: round(FPS)]]

    return hashes, lambda a, b: min((x - y) / x.hash.size for x in a for y in b)


def pdq_method() -> tuple[Callable[[Film], Any], Callable[[Any, Any], float]]:
    import pdqhash

    def hashes(film: Film) -> list[NDArray[np.uint8]]:
        return [np.asarray(pdqhash.compute(frame)[0]) for frame in film[:: round(FPS)]]

    return hashes, lambda a, b: min(float((x != y).mean()) for x in a for y in b)


def threatexchange_method() -> tuple[Callable[[Film], Any], Callable[[Any, Any], float]]:
    """PDQ as ``threatexchange`` takes and compares it: a picture's bytes, one a second."""
    from threatexchange.signal_type.pdq.pdq_utils import simple_distance
    from threatexchange.signal_type.pdq.signal import PdqSignal

    def hashes(film: Film) -> list[str]:
        found = []
        for frame in film[:: round(FPS)]:
            coded = cv2.imencode(".png", np.ascontiguousarray(frame[..., ::-1]))[1].tobytes()
            found.append(PdqSignal.hash_from_bytes(coded))
        return found

    return hashes, lambda a, b: min(simple_distance(x, y) / 256 for x in a for y in b if x and y)


def videohash2_method() -> tuple[Callable[[Film], Any], Callable[[Any, Any], float]]:
    """videohash2's own collage, tiles and hash. Its frames (144 x 144, one a second) are written by us,
    since it calls an ffmpeg program for them."""
    from PIL import Image
    from videohash2.collagemaker import MakeCollage
    from videohash2.tilemaker import make_tile
    from videohash2.utils import get_list_of_all_files_in_dir
    from videohash2.videohash import VideoHash

    def hashes(film: Film) -> list[int]:
        with tempfile.TemporaryDirectory(prefix="videohash-") as folder:
            frames, tiles = Path(folder) / "frames", Path(folder) / "tiles"
            frames.mkdir()
            tiles.mkdir()
            for number, frame in enumerate(film[:: round(FPS)]):
                small = Image.fromarray(frame).resize((144, 144), Image.Resampling.BICUBIC)
                small.save(frames / f"video_frame_{number:07d}.jpeg")
            made = VideoHash.__new__(VideoHash)
            collage = str(Path(folder) / "collage.jpg")
            MakeCollage(get_list_of_all_files_in_dir(f"{frames}/"), collage, collage_image_width=1024)
            make_tile(f"{frames}/", str(Path(folder) / "row.png"), f"{tiles}/")
            made.tiles_dir, made.image, made.bits_in_hash = f"{tiles}/", Image.open(collage), 64
            made._calc_hash()
            return list(made.bitlist)

    return hashes, lambda a, b: float(np.mean([x != y for x, y in zip(a, b, strict=True)]))


def methods() -> dict[str, tuple[Callable[[Film], Any], Callable[[Any, Any], float]]]:
    found: dict[str, tuple[Callable[[Film], Any], Callable[[Any, Any], float]]] = {
        HASHES: (ours, ours_distance)
    }
    if importlib.util.find_spec("imagehash"):
        found["imagehash phash"] = imagehash_method("phash")
        found["imagehash dhash"] = imagehash_method("dhash")
    if importlib.util.find_spec("pdqhash"):
        found["pdqhash"] = pdq_method()
    if importlib.util.find_spec("threatexchange"):
        found["threatexchange PDQ"] = threatexchange_method()
    if importlib.util.find_spec("videohash2"):
        found["videohash2"] = videohash2_method()
    return found


def recall(same: dict[str, list[float]], known: Callable[[float], bool]) -> dict[str, float]:
    """For each edit the share of films that are still known."""
    return {name: float(np.mean([known(value) for value in values])) for name, values in same.items()}


def run(count: int, seconds: int, folder: Path | None) -> tuple[list[Row], dict[str, Any]]:
    sources = films(count, seconds)
    edited = {name: [change(film) for film in sources] for name, change in EDITS.items()}
    others = strangers(seconds, folder)
    table: dict[str, Any] = {"ours": whole_check(sources, edited, others)}
    for method, (hashes, distance) in methods().items():
        start = time.process_time()
        gallery = [hashes(film) for film in sources]
        cost = (time.process_time() - start) / (len(sources) * seconds)
        same: dict[str, list[float]] = {}
        other = 1.0
        for name, copies in edited.items():
            probes = [hashes(copy) for copy in copies]
            same[name] = [distance(probe, gallery[index]) for index, probe in enumerate(probes)]
            other = min(
                [other]
                + [
                    distance(probe, gallery[wrong])
                    for index, probe in enumerate(probes)
                    for wrong in range(len(gallery))
                    if wrong != index
                ]
            )
        table[method] = {
            "closest stranger": other,
            "cpu ms per second of film": 1000 * cost,
            "recall": recall(same, lambda value, least=other: value < least),
        }
        for bits in (60, 31) if method == HASHES else ():
            known = recall(same, lambda value, most=bits: value <= most / 256)
            table[f"hashes, {bits} bits"] = {**table[method], "recall": known}
    rows = []
    for method, result in table.items():
        if method == "ours" or method.startswith("hashes"):
            continue
        for name, value in result["recall"].items():
            mine = table["ours"]["recall"][name]
            rows.append(
                Row(
                    metric=name,
                    ours=mine,
                    peer=value,
                    peer_name=method,
                    ratio=ratio_of(mine, value),
                    unit="recall",
                )
            )
    table["ours"]["across strangers"] = across(others)
    return rows, table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--films", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--strangers", type=Path)
    given = parser.parse_args(arguments)
    rows, table = run(given.films, given.seconds, given.strangers)
    peers = {}
    for name in ("ImageHash", "pdqhash", "videohash2", "threatexchange"):
        try:
            peers[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            peers[name] = "not installed"
    if given.json:
        environment = {"python": platform.python_version(), "films": given.films, **peers}
        print_report("copies", environment, rows, detail=table)
        return
    print("peers:", ", ".join(f"{name} {value}" for name, value in peers.items()))
    print(f"{'edit':<22}" + "".join(f"{method:>20}" for method in table))
    for name in EDITS:
        print(f"{name:<22}" + "".join(f"{result['recall'][name]:>20.2f}" for result in table.values()))
    for key in ("closest stranger", "cpu ms per second of film"):
        cells = (
            f"{result[key]:>20.3f}" if result[key] is not None else f"{'':>20}" for result in table.values()
        )
        print(f"{key:<22}" + "".join(cells))
    mine = table["ours"]
    print(f"{mine['strangers']} strangers, false matches: {mine['false matches'] or 'none'}")
    pairs = mine["across strangers"]
    print(f"{pairs['pairs']} pairs of strangers, matched: {pairs['matched'] or 'none'}")


if __name__ == "__main__":
    main()
