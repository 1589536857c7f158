"""What every training run shares: its folder, checkpoints, loss curve, sample sheets, progress bar.

A run's folder holds ``config.json``, ``loss.csv``, ``loss.png``, ``samples/*.png`` and ``state.pt``
(to resume). ``state.pt`` is read with ``weights_only`` so that it can hold nothing but numbers.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as mp
from numpy.typing import NDArray
from PIL import Image, ImageDraw


class Run:
    """The folder of one training run."""

    def __init__(self, out: Path, config: Any) -> None:
        self.out = out
        (out / "samples").mkdir(parents=True, exist_ok=True)
        self.losses: list[tuple[int, float, float]] = []
        (out / "config.json").write_text(json.dumps(asdict(config), indent=2) + "\n")

    def resume(self) -> dict[str, Any] | None:
        """The last saved state, or None for a fresh run; loss lines after it are dropped."""
        path = self.out / "state.pt"
        if not path.exists():
            return None
        state: dict[str, Any] = torch.load(path, weights_only=True)
        self.losses = [tuple(row) for row in state["losses"]]
        return state

    def save(self, **state: Any) -> None:
        """Write the state beside the old one, then replace it, so that a kill loses nothing."""
        path = self.out / "state.pt"
        torch.save({**state, "losses": self.losses}, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)

    def log(self, step: int, loss: float, seconds: float) -> None:
        self.losses.append((step, loss, seconds))

    def curve(self) -> None:
        """Write ``loss.csv`` and ``loss.png`` (log scale)."""
        rows = self.losses
        lines = [f"{s},{v:.5f},{t:.1f}" for s, v, t in rows]
        (self.out / "loss.csv").write_text("step,loss,seconds\n" + "\n".join(lines) + "\n")
        if len(rows) < 2:
            return
        width, height, edge = 640, 320, 40
        picture = Image.new("RGB", (width, height), "white")
        draw = ImageDraw.Draw(picture)
        y = np.log10(np.maximum([v for _, v, _ in rows], 1e-6))
        x = np.array([s for s, _, _ in rows], float)
        low, high = float(y.min()), float(max(y.max(), y.min() + 1e-3))
        points = [
            (
                edge + (width - 2 * edge) * a / x[-1],
                height - edge - (height - 2 * edge) * (b - low) / (high - low),
            )
            for a, b in zip(x, y, strict=True)
        ]
        draw.line(points, fill=(30, 90, 200), width=2)
        draw.text((4, edge - 20), f"{10**high:.3g}", fill="black")
        draw.text((4, height - edge + 4), f"{10**low:.3g}", fill="black")
        draw.text((width - 110, height - 20), f"step {int(x[-1])}", fill="black")
        picture.save(self.out / "loss.png")

    def sheet(self, name: str, films: list[NDArray[np.uint8]], *, columns: int = 5, side: int = 96) -> Path:
        """A contact sheet: one film (T, H, W, 3) a row, ``columns`` frames of each."""
        rows = []
        for film in films:
            picks = np.linspace(0, len(film) - 1, columns).round().astype(int)
            rows.append(np.concatenate([film[i] for i in picks], 1))
        picture = Image.fromarray(np.concatenate(rows, 0))
        picture = picture.resize((columns * side, len(films) * side), Image.Resampling.LANCZOS)
        path = self.out / "samples" / f"{name}.png"
        picture.save(path)
        return path


def slope(step: int, steps: int, warmup: int, decay_from: float) -> float:
    """Learning-rate factor: linear warm-up, flat, linear to 2 % from ``decay_from`` of the steps on."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    left = (1 - step / steps) / max(1e-9, 1 - decay_from)
    return rise * max(0.02, min(1.0, left))


def to_film(x: torch.Tensor) -> NDArray[np.uint8]:
    """(3, T, H, W) in [-1, 1] -> uint8 (T, H, W, 3)."""
    film = ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0)
    return np.ascontiguousarray(film.numpy())


def _producer(make: Callable[[np.random.Generator], Any], seed: int, out: Any, core: int | None) -> None:
    os.nice(15)
    if core is not None:
        os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    # Whoever reads may be gone at exit; items nobody waits for must not keep this process.
    out.cancel_join_thread()
    parent = os.getppid()
    while os.getppid() == parent:
        item = make(rng)
        while os.getppid() == parent:
            try:
                out.put(item, timeout=5)
                break
            except queue.Full:
                continue


class Producer:
    """Endless items of ``make(rng)``, made in another process at low priority where asked for.

    ``core`` pins the process; by default it runs on a core that this process is not pinned to.
    """

    def __init__(
        self,
        make: Callable[[np.random.Generator], Any],
        seed: int,
        *,
        processes: bool,
        depth: int = 16,
        core: int | None = None,
    ) -> None:
        self._make, self._rng = make, np.random.default_rng(seed)
        self._items: Any = None
        if not processes:
            return
        if core is None and hasattr(os, "sched_getaffinity"):
            free = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
            core = min(free) if free else None
        # fork: ``make`` may hold a model, and nothing of it has to be sent.
        context = mp.get_context("fork")
        items = context.Queue(depth)
        self._worker = context.Process(target=_producer, args=(make, seed, items, core), daemon=True)
        self._worker.start()
        # A large item crosses the pipe at the pace of the low-priority writer; a thread waits for it.
        self._items = queue.Queue(depth)
        threading.Thread(target=self._receive, args=(items, self._items), daemon=True).start()

    @staticmethod
    def _receive(source: Any, target: queue.Queue[Any]) -> None:
        while True:
            try:
                target.put(source.get())
            except (EOFError, OSError):
                return

    def __next__(self) -> Any:
        """The next item; waits for the process, or makes it here where there is none."""
        return self._make(self._rng) if self._items is None else self._items.get()

    def ready(self) -> list[Any]:
        """Every item that is ready now, perhaps none; without a process one is made."""
        if self._items is None:
            return [next(self)]
        found = []
        try:
            while True:
                found.append(self._items.get_nowait())
        except queue.Empty:
            return found

    def close(self) -> None:
        if self._items is not None:
            self._worker.terminate()
            self._worker.join()
