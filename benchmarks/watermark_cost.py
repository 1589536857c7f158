"""CPU of the mark as ratios of one run: embedding beside libx264, reading beside its budget.

    python -m benchmarks.watermark_cost [--clips N] [--seconds S] [--lines N] [--json]

Reading is measured on films without a mark, the usual and the dear case, with 1, 8 and 32 tenants of one
epoch, at eight analysed frames a second. Its budget: 150 ms a second of film and 300 ms a geometry search.
Medians over camera moves over photographs of the quickest of three runs each; one thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from benchmarks.attacks import Film, encoded
from benchmarks.cpu_time import least_cpu_seconds
from benchmarks.rows import Row, print_report, print_rows, row
from benchmarks.watermark_clips import sources
from benchmarks.watermark_marks import KEY, Ours, batches
from guarded_sora.provenance.watermark import KeyedTileMark, MarkKey
from guarded_sora.provenance.watermark.slots import SLOT_SECONDS, pieces
from guarded_sora.provenance.watermark.windows import search_ranges

SECOND_MS, SEARCH_MS = 150.0, 300.0
BUDGET = f"{SECOND_MS:.0f} ms a second and {SEARCH_MS:.0f} ms a search"
TENANTS = (1, 8, 32)


def cpu_ms(work: Callable[[], object]) -> float:
    """Process time of the quickest of three calls."""
    return 1e3 * least_cpu_seconds(work)


def budget_ms(film: Film) -> float:
    """What reading a film without a mark may cost."""
    searches = sum(
        len(search_ranges(np.ones(len(piece.planes), dtype=bool))) for piece in pieces(batches(film))
    )
    return SECOND_MS * len(film.frames) / film.fps + SEARCH_MS * searches


def reader(tenants: int) -> KeyedTileMark:
    """A reader of ``tenants`` keys of one epoch."""
    keys = [MarkKey(secret=KEY.secret, epoch=KEY.epoch, tenant=f"tenant {n}") for n in range(tenants)]
    return KeyedTileMark(keys[0], readers=keys)


def measure(films: Sequence[Film]) -> list[Row]:
    """All rows."""
    embed = float(
        np.median([cpu_ms(lambda f=film: Ours(42.0).embed(f, 7)) / len(film.frames) for film in films])
    )
    codec = float(
        np.median(
            [
                cpu_ms(lambda f=film: encoded(f, "libx264", crf=23, preset="veryfast")) / len(film.frames)
                for film in films
            ]
        )
    )
    beside = "libx264 veryfast, encoding only"
    rows = [row("embedding", embed, codec, beside, "lower", "CPU ms/frame", digits=2)]
    for tenants in TENANTS:
        mark = reader(tenants)
        spent = float(np.median([cpu_ms(lambda f=film, m=mark: m.detect(batches(f))) for film in films]))
        allowed = float(np.median([budget_ms(film) for film in films]))
        metric = f"reading an unmarked film, {tenants} keys"
        rows.append(row(metric, spent, allowed, BUDGET, "lower", "CPU ms a film", digits=2))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", dest="limit", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--lines", type=int, default=480)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(clips=None, clips_only=False, tuning=False, skip=0, fps=15.0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    films = [source.load() for source in sources(options)]
    rows = measure(films)
    if options.json:
        environment = {
            "clips": len(films),
            "seconds": options.seconds,
            "lines": options.lines,
            "fps": options.fps,
            "slot": SLOT_SECONDS,
        }
        print_report("watermark_cost", environment, rows)
    else:
        print_rows(rows)


if __name__ == "__main__":
    main()
