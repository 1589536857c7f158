"""CPU time of a call, for rows: other programs on the machine cannot add to it as they do to the clock."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object], repetitions: int) -> list[float]:
    """CPU seconds of each of ``repetitions`` calls."""
    spent = []
    for _ in range(repetitions):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return spent


def least_cpu_seconds(work: Callable[[], object], repetitions: int = 3) -> float:
    """Of the quickest call."""
    return min(cpu_seconds(work, repetitions))


def median_cpu_ms(work: Callable[[], object], repetitions: int = 5) -> float:
    """Milliseconds of the middle call, after one that only warms up."""
    work()
    return 1000.0 * statistics.median(cpu_seconds(work, repetitions))
