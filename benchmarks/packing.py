"""What does packing save? Tokens a second of packed rows against padded batches.

``python -m benchmarks.packing --json`` runs the base model forth and back over mixes of clips: once
packed in one row, once padded to the longest of the batch and masked. ``peer`` of each row is the
ratio that counting tokens promises; the target is nine tenths of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from benchmarks.cpu_time import least_cpu_seconds
from benchmarks.rows import Row, print_report, print_rows, row
from guarded_sora.generation.models.packing import Segments
from guarded_sora.generation.models.transformer import SpacetimeTransformer, positions

TEXT = 6
MIXES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "stills and films": ((1, 8, 8),) * 5 + ((5, 8, 8),),
    "four aspects": ((3, 8, 8), (3, 6, 10), (3, 10, 6), (3, 5, 12)),
    "lengths 1, 5, 9, 17, 33": ((1, 8, 8), (2, 8, 8), (3, 8, 8), (5, 8, 8), (9, 8, 8)),
    "sizes 64 to 256": ((3, 4, 4), (3, 8, 8), (3, 16, 16), (1, 16, 16)),
}
"""Clips of each mix: latent frames and tokens down and across."""


def seconds(work: Callable[[], None], repetitions: int) -> float:
    """Least CPU seconds of ``repetitions`` calls, after one that only warms up."""
    work()
    return least_cpu_seconds(work, repetitions)


def padded_step(model: SpacetimeTransformer, shapes: Sequence[tuple[int, int, int]]) -> Callable[[], None]:
    """Forth and back over a batch in which every clip is as long as the longest; padding is masked."""
    places = [positions(*shape, TEXT) for shape in shapes]
    longest = max(len(place) for place in places)
    x = torch.randn(len(shapes), longest, model.config.width)
    valid = torch.stack([torch.arange(longest) < len(place) for place in places])
    place = max(places, key=len)
    condition = torch.randn(len(shapes), 1, model.config.width)

    def masked(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=valid[:, None, None])

    def step() -> None:
        from guarded_sora.generation.models import transformer

        plain, transformer.attend = transformer.attend, masked
        try:
            with torch.autocast("cpu", torch.bfloat16):
                model.row(x, condition, place).square().mean().backward()
        finally:
            transformer.attend = plain

    return step


def packed_step(model: SpacetimeTransformer, shapes: Sequence[tuple[int, int, int]]) -> Callable[[], None]:
    places = [positions(*shape, TEXT) for shape in shapes]
    segments = Segments(tuple(len(place) for place in places))
    x, place = torch.randn(1, segments.total, model.config.width), torch.cat(places)
    condition = torch.randn(1, len(shapes), model.config.width)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            model.row(x, condition, place, segments).square().mean().backward()

    return step


def measure(repetitions: int) -> list[Row]:
    torch.manual_seed(0)
    model, rows = SpacetimeTransformer(channels=20, layout=4), list[Row]()
    for name, shapes in MIXES.items():
        lengths = [TEXT + a * b * c for a, b, c in shapes]
        theory = len(lengths) * max(lengths) / sum(lengths)
        packed = seconds(packed_step(model, shapes), repetitions)
        padded = seconds(padded_step(model, shapes), repetitions)
        metric = f"packed against padded, {name}: tokens a CPU-second"
        promise = "what counting tokens promises"
        rows.append(row(metric, padded / packed, theory, promise, unit="times", digits=None))
        rows.append(
            row(
                f"packed, {name}",
                sum(lengths) / packed,
                sum(lengths) / padded,
                "padded and masked",
                unit="tokens/CPU-s, forth and back",
                digits=None,
            )
        )
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packing", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = measure(options.repetitions)
    environment = {"torch": torch.__version__, "threads": 1, "precision": "bfloat16 autocast"}
    if options.json:
        print_report("packing", environment, rows)
    else:
        print_rows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
