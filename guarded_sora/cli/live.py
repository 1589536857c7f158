"""The live progress bar; apart, so that rich loads only when somebody looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Live:
    """One line a stage: name, bar where the number of steps is known, time."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: int | None = None

    def stage(self, name: str) -> None:
        """Finish the line before and start one for ``name``."""
        self._finish()
        self._task = self._bars.add_task(name.replace("_", " "), total=None)

    def step(self, done: int, total: int | None) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.update(self._bars.task_ids[-1], completed=done, total=total)

    def _finish(self) -> None:
        if self._task is not None:
            self._bars.update(self._bars.task_ids[-1], completed=1, total=1)


@contextmanager
def live_progress() -> Iterator[Live]:
    """Bars on stderr while the block runs."""
    bars = Progress(
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=False,
    )
    with bars:
        shown = Live(bars)
        yield shown
        shown._finish()
