"""What averaging many marked clips teaches an attacker who has no key, and what it lets them do.

    python -m benchmarks.watermark_averaging [--clips N] [--json]

The attacker adds up the high frequencies of N clips, knows the size of the tile and where it starts,
and takes what is common for the pattern. Three installations are compared: all clips of one tenant;
every clip of a tenant of its own under the shared pilots of an epoch (how the mark works); every clip
under pilots of its own (what sharing pilots gives up). Then the pilots so found are taken off other
clips of the epoch, and these are cropped and read.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.attacks import Film, crop
from benchmarks.rows import Row, print_report, print_rows, row
from benchmarks.watermark_clips import sources
from benchmarks.watermark_marks import batches
from benchmarks.watermark_quality import quality
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark import Geometry, KeyedTileMark, MarkKey, MarkState
from guarded_sora.provenance.watermark.code import ConvolutionalCode
from guarded_sora.provenance.watermark.mask import add_to_rgb, luma_of, pattern
from guarded_sora.provenance.watermark.receive import fold
from guarded_sora.provenance.watermark.tile import TILE, band, data_layout, pilot_layout, word_bits

SECRET = bytes(range(32))
IDS = [(0x9E3779B97F * (n + 1)) & ((1 << 40) - 1) for n in range(64)]
"""Spread like the ids of a store; neighbours would share most coded bits."""
TARGETS = 4


def residual(film: Film) -> NDArray[np.float32]:
    """The film's mean high frequencies."""
    planes = [luma_of(frame).astype(np.float32) for frame in film.frames]
    return np.asarray(np.mean([plane - cv2.GaussianBlur(plane, (0, 0), 3.0) for plane in planes], axis=0))


def average(films: Sequence[Film]) -> NDArray[np.complex64]:
    """Bins of the tile that the films have in common, each film at the same weight."""
    folded = [fold(plane / max(float(plane.std()), 1e-6), Geometry()) for plane in map(residual, films)]
    return np.asarray(np.mean(folded, axis=0), dtype=np.complex64)


def pilots_seen(bins: NDArray[np.complex64], key: MarkKey) -> float:
    """Correlation of what was averaged with the pilots of ``key``, over the pilots' bins."""
    layout = pilot_layout(key)
    return _correlation(bins[layout.bins], np.exp(1j * layout.phases))


def data_seen(bins: NDArray[np.complex64], key: MarkKey, payload: MarkPayload, data_class: int) -> float:
    """Correlation with the data of one clip."""
    coded = ConvolutionalCode().encode(word_bits(payload, key)).astype(np.float32)
    values = data_layout(key, data_class).spread(coded)
    return _correlation(bins[pilot_layout(key).data], values[0::2] + 1j * values[1::2])


def _correlation(a: NDArray[np.complex64], b: NDArray[np.complex128]) -> float:
    return float(np.vdot(b, a).real / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))


def without_pilots(film: Film, bins: NDArray[np.complex64], key: MarkKey) -> Film:
    """The film minus the averaged pilots, at the strength at which they stand in it.

    The attacker is given which bins are pilots; in a long average they stand out anyway.
    """
    rows, columns, _ = band()
    chosen = pilot_layout(key).bins
    spectrum = np.zeros((TILE, TILE // 2 + 1), dtype=np.complex128)
    spectrum[rows[chosen], columns[chosen]] = bins[chosen]
    spectrum[:, 0] *= 2
    tile = np.fft.irfft2(spectrum, s=(TILE, TILE))
    height, width = film.frames.shape[1:3]
    laid = pattern(np.asarray(tile / tile.std(), dtype=np.float32), (height, width)).astype(np.float32) / 32.0
    own = residual(film)
    strength = float(np.vdot(laid, own) / np.vdot(laid, laid))
    levels = np.rint(-strength * laid).astype(np.int16)
    return replace(film, frames=np.stack([add_to_rgb(frame, levels) for frame in film.frames]))


def _marked(film: Film, key: MarkKey, number: int) -> Film:
    payload = MarkPayload(id=number, epoch=key.epoch)
    parts = [batch.frames for batch in KeyedTileMark(key).embed(batches(film), payload)]
    return replace(film, frames=np.concatenate(parts))


def _reads(film: Film, key: MarkKey, number: int) -> bool:
    found = KeyedTileMark(key).detect(batches(film))
    return found.state is MarkState.PRESENT and found.payload is not None and found.payload.id == number


def films_of(count: int) -> list[Film]:
    """``count`` camera moves and ``TARGETS`` more."""
    options = argparse.Namespace(
        clips=None,
        clips_only=False,
        tuning=False,
        skip=0,
        limit=count + TARGETS,
        lines=360,
        seconds=1.0,
        fps=6.0,
    )
    return [source.load() for source in sources(options)]


def measure(films: Sequence[Film]) -> list[Row]:
    """All figures; the last ``TARGETS`` of the films are attacked."""
    learned, targets = films[:-TARGETS], films[-TARGETS:]
    one = MarkKey(secret=SECRET, epoch=3, tenant="t0")
    keys = {
        "one tenant": [one] * len(learned),
        "a tenant each, pilots shared": [replace(one, tenant=f"t{n}") for n in range(len(learned))],
        "pilots of their own": [replace(one, epoch=(3 + n) % 32) for n in range(len(learned))],
    }
    rows: list[Row] = []
    for name, owners in keys.items():
        clips = [
            _marked(film, key, IDS[n]) for n, (film, key) in enumerate(zip(learned, owners, strict=True))
        ]
        bins = average(clips)
        payload = MarkPayload(id=IDS[0], epoch=owners[0].epoch)
        data_class = owners[0].first_class(IDS[0])
        for metric, seen in (
            ("pilots seen", pilots_seen(bins, one)),
            ("data of a clip seen", data_seen(bins, owners[0], payload, data_class)),
        ):
            rows.append(row(f"{metric}, {name}", seen, better="lower", unit="correlation", digits=3))
        rows += _attacked(name, bins, one, targets)
    return rows


def _attacked(name: str, bins: NDArray[np.complex64], key: MarkKey, targets: Sequence[Film]) -> list[Row]:
    whole = cropped = before = 0
    loss = []
    for number, film in enumerate(targets):
        marked = _marked(film, key, IDS[40 + number])
        robbed = without_pilots(marked, bins, key)
        loss.append(quality(marked, robbed)["psnr dB"])
        before += _reads(crop(marked, 0.25), key, IDS[40 + number])
        whole += _reads(robbed, key, IDS[40 + number])
        cropped += _reads(crop(robbed, 0.25), key, IDS[40 + number])
    count = len(targets)
    return [
        row(f"still read whole, pilots taken off, {name}", whole, better="lower", unit=f"of {count}"),
        row(
            f"still read cropped by 25 %, pilots taken off, {name}",
            cropped,
            better="lower",
            unit=f"of {count} ({before} before)",
        ),
        row(f"PSNR of taking them off, {name}", float(np.median(loss)), unit="dB", digits=3),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    films = films_of(options.clips)
    rows = measure(films)
    if options.json:
        environment = {"clips": len(films) - TARGETS, "targets": TARGETS, "lines": 360}
        print_report("watermark_averaging", environment, rows)
    else:
        print_rows(rows)


if __name__ == "__main__":
    main()
