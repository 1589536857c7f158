"""False positives of the mark: a million readings of films that do not carry it, and how true its p is.

    python -m benchmarks.watermark_nulls [--films N] [--first N] [--minutes M] [--state FILE] [--json]

Films are camera moves over 20 photographs of scikit-image, pans over noise with the spectrum of
photographs and flat cartoons: 520 of 520 seeds. Half of them carry a mark of a key that no reader
here has. A window of a film is folded in one of eight geometries and read under 250 keys (two
installations, 125 tenants each) as any of four data classes; a reading is one window under
one key in all its classes. The front end is paid once for all tenants of an epoch, as in use. With
``--state`` what was done is kept, and a later run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import Row, print_report, print_rows, ratio_of
from benchmarks.watermark_clips import PHOTOS
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark import Geometry, KeyedTileMark, MarkKey
from guarded_sora.provenance.watermark.bound import LOG10, quantile
from guarded_sora.provenance.watermark.decode import WORDS_LOG2, dimensions, read_words, shift_of
from guarded_sora.provenance.watermark.keys import DATA_CLASSES
from guarded_sora.provenance.watermark.receive import fold, whiten, working_luma
from guarded_sora.provenance.watermark.search import ACCEPT_LOG10
from guarded_sora.provenance.watermark.tile import CODE, pilot_layout, spreads, word_bits

FILMS, WINDOWS, KEYS, TENANTS = 520, 8, 250, 125
CALIBRATED = (1e-2, 1e-3, 1e-4)
STRANGER = MarkKey(secret=b"\xee" * 32, epoch=3)
_PHOTOS = (*PHOTOS, "color.png", "horse.png", "motorcycle_right.png", "hubble_deep_field.jpg")
_SCALES = (1.0, 0.75, 1.16, 1.41)
_SIDE = (180, 320)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """``lowest``: least log10 p over all ids of a word with a valid MAC, among those that could be a trace
    over the 500 hypotheses of a window. ``accepted``: at or below 10^-9 even without these.

    ``hits``: readings of a random known word whose p was at or below each of ``CALIBRATED``.
    """

    films: int = 0
    readings: int = 0
    words: int = 0
    accepted: int = 0
    lowest: float = 0.0
    hits: tuple[int, int, int] = (0, 0, 0)

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        a, b, c = (mine + theirs for mine, theirs in zip(self.hits, other.hits, strict=True))
        return Tally(
            films=self.films + other.films,
            readings=self.readings + other.readings,
            words=self.words + other.words,
            accepted=self.accepted + other.accepted,
            lowest=min(self.lowest, other.lowest),
            hits=(a, b, c),
        )


def key(number: int) -> MarkKey:
    """Key ``number``: 125 tenants share an installation and an epoch."""
    group = number // TENANTS
    return MarkKey(secret=(group + 1).to_bytes(32), epoch=group % 32, tenant=f"tenant {number % TENANTS}")


def film_windows(number: int, windows: int = WINDOWS) -> list[NDArray[np.complex64]]:
    """Bins of ``windows`` windows of film ``number``, each of another frame and geometry."""
    frames = _frames(number)
    if number % 2:
        payload = MarkPayload(id=number, epoch=STRANGER.epoch)
        batch = FrameBatch(frames=frames, times=np.arange(len(frames)) / 8.0, fps=8.0)
        frames = np.concatenate([part.frames for part in KeyedTileMark(STRANGER).embed([batch], payload)])
    planes = [whiten(working_luma(frame)) for frame in frames]
    # Pooled like a real window: frames added up, a growing number of them.
    sums = np.cumsum(planes, axis=0)
    return [
        fold(sums[turn % len(sums)], Geometry(scale=_SCALES[turn // 2 % 4], flip=turn % 2 == 1))
        for turn in range(windows)
    ]


def read_film(number: int, keys: int = KEYS, windows: int = WINDOWS) -> Tally:
    """All windows of one film under ``keys`` keys, fresh ones to a group."""
    readings = words = accepted = 0
    lowest = 0.0
    hits = np.zeros(3, dtype=np.int64)
    groups = [tuple(key(n) for n in range(first, first + TENANTS)) for first in range(0, keys, TENANTS)]
    for spectrum in film_windows(number, windows):
        for group in groups:
            pilots = pilot_layout(group[0])
            shift, _ = shift_of(spectrum, pilots)
            dims = dimensions({0: spectrum}, pilots, shift)
            readings += len(group)
            for reading in read_words(dims, group, shift, len(group) * DATA_CLASSES):
                words += 1
                log10_p = (reading.log_p + WORDS_LOG2 * math.log(2.0)) / LOG10
                lowest = min(lowest, log10_p)
                accepted += log10_p <= ACCEPT_LOG10
            hits += _calibration(dims.parts[0], group, readings % DATA_CLASSES)
    return Tally(
        films=1,
        readings=readings,
        words=words,
        accepted=accepted,
        lowest=lowest,
        hits=(int(hits[0]), int(hits[1]), int(hits[2])),
    )


def _calibration(
    weighted: NDArray[np.float32], group: tuple[MarkKey, ...], data_class: int
) -> NDArray[np.int64]:
    """How many keys see their known word at or below each stated p, in one data class."""
    soft = spreads(group).gather(weighted)[:, data_class]
    values = np.einsum("qn,qn->q", soft, _known(group))
    return np.array([(values >= quantile(weighted, stated)).sum() for stated in CALIBRATED])


@lru_cache(maxsize=16)
def _known(group: tuple[MarkKey, ...]) -> NDArray[np.float32]:
    """(Q, N): a word of every key."""
    words = [
        CODE.encode(word_bits(MarkPayload(id=977 * n + owner.epoch, epoch=owner.epoch), owner))
        for n, owner in enumerate(group)
    ]
    return np.stack(words).astype(np.float32)


def _frames(number: int) -> NDArray[np.uint8]:
    """Four frames of film ``number``: a move over a photograph, over noise, or a cartoon."""
    rng = np.random.default_rng(7_000 + number)
    if number % 4 == 3:
        return _cartoon(rng)
    photo = _noise(rng) if number % 4 == 2 else _photo(number)
    height, width = photo.shape[:2]
    span = min(width, height * 16 / 9) * float(rng.uniform(0.3, 0.8))
    start = np.array([rng.uniform(0, width - span), rng.uniform(0, height - span * 9 / 16)])
    drift, zoom = rng.uniform(-0.02, 0.02, 2) * span, float(rng.uniform(0.98, 1.02))
    frames = []
    for index in range(4):
        scale = span * zoom**index / _SIDE[1]
        matrix = np.array([[scale, 0, start[0] + drift[0] * index], [0, scale, start[1] + drift[1] * index]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        frames.append(cv2.warpAffine(photo, matrix, _SIDE[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT))
    return np.stack(frames).astype(np.uint8)


@lru_cache(maxsize=4)
def _photo(number: int) -> NDArray[np.uint8]:
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    there = [name for name in _PHOTOS if (folder / name).exists()]
    picture = cv2.imread(str(folder / there[number // 2 % len(there)]), cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _noise(rng: np.random.Generator) -> NDArray[np.uint8]:
    falloff = 1.0 / (np.hypot(np.fft.fftfreq(270)[:, None], np.fft.fftfreq(480)[None, :]) + 0.004) ** 1.1
    plane = np.fft.ifft2(np.fft.fft2(rng.standard_normal((270, 480))) * falloff).real
    grey = np.clip(128 + 45 * plane / plane.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _cartoon(rng: np.random.Generator) -> NDArray[np.uint8]:
    frames = np.empty((4, *_SIDE, 3), dtype=np.uint8)
    frames[:] = rng.integers(20, 235, 3)
    for _ in range(6):
        colour = tuple(int(value) for value in rng.integers(0, 255, 3))
        x, y = rng.uniform(0, _SIDE[1]), rng.uniform(0, _SIDE[0])
        step, size = rng.uniform(-4, 4, 2), int(rng.integers(8, 50))
        for index in range(4):
            centre = (int(x + step[0] * index), int(y + step[1] * index))
            cv2.circle(frames[index], centre, size, colour, -1, cv2.LINE_AA)
    return frames


def _run(options: argparse.Namespace) -> Tally:
    """Films from where the state ends, until the minutes are over."""
    tally, following = Tally(), options.first
    state = Path(options.state) if options.state else None
    if state is not None and state.exists():
        known = json.loads(state.read_text(encoding="utf-8"))
        following = known.pop("next")
        a, b, c = known.pop("hits")
        tally = Tally(**known, hits=(a, b, c))
    end = time.monotonic() + 60.0 * options.minutes
    while following < options.first + options.films and time.monotonic() < end:
        tally = tally.plus(read_film(following))
        following += 1
        if state is not None:
            aside = state.with_suffix(".part")
            aside.write_text(json.dumps({**asdict(tally), "next": following}), encoding="utf-8")
            aside.replace(state)
    return tally


def _rows(tally: Tally) -> Iterator[Row]:
    for hits, stated in zip(tally.hits, CALIBRATED, strict=True):
        expected = tally.readings * stated
        bound = 4.0 * math.sqrt(expected * (1 - stated))
        yield Row(
            metric=f"readings of a known word at p <= {stated:g}",
            ours=hits,
            peer=round(expected, 1),
            peer_name=f"expected, +- {bound:.0f} (four binomial deviations)",
            ratio=ratio_of(hits, expected),
            better="lower",
            unit=f"of {tally.readings}",
        )
    yield Row(
        metric="accepted, unmarked or foreign mark",
        ours=tally.accepted,
        better="lower",
        unit=f"of {tally.readings} readings, {tally.films} films",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--films", type=int, default=FILMS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--state", help="file in which what was done is kept between runs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    tally = _run(options)
    if options.json:
        print_report("watermark_nulls", asdict(tally), _rows(tally))
        return
    print_rows(_rows(tally))
    print(f"{tally.words} words with a valid MAC; the least log10 p over all ids was {tally.lowest:.2f}")


if __name__ == "__main__":
    main()
