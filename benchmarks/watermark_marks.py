"""The marks that the benchmark compares: ours, ours in a fresh home, and invisible-watermark's modes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.attacks import Film
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark import KeyedTileMark, MarkKey, MarkState

KEY = MarkKey(secret=bytes(range(32)), epoch=3, tenant="bench")
OURS = "keyed-tile"
READER = "benchmarks.watermark_reader"
PEER_BITS = 32
MODES = ("dwtDct", "dwtDctSvd", "rivaGan")

Answer = tuple[bool, bool, float, float]
"""Accepted, accepted wrongly, log10 p, share of right bits."""


def batches(film: Film) -> Iterator[FrameBatch]:
    """The film eight frames at a time."""
    times = np.arange(len(film.frames)) / film.fps
    for start in range(0, len(film.frames), 8):
        part = slice(start, start + 8)
        yield FrameBatch(frames=film.frames[part], times=times[part], fps=film.fps)


class Ours:
    """The keyed tile mark, read from the key alone: no store, no hint."""

    name = OURS

    def __init__(self, psnr: float) -> None:
        self._mark = KeyedTileMark(KEY, psnr=psnr)

    def embed(self, film: Film, number: int) -> Film:
        """The film with id ``number`` in it."""
        payload = MarkPayload(id=number, epoch=KEY.epoch)
        parts = [batch.frames for batch in self._mark.embed(batches(film), payload)]
        return Film(frames=np.concatenate(parts), fps=film.fps)

    def read(self, film: Film, number: int) -> Answer:
        """What was read, compared with ``number``."""
        evidence = self._mark.detect(batches(film))
        found = evidence.payload.id if evidence.payload is not None else None
        return _answer(evidence.state is MarkState.PRESENT, found, evidence.log10_p, number)


class OursInFreshHome(Ours):
    """The same, read by another process that is given 32 bytes, an epoch, a tenant and an empty home."""

    def __init__(self, psnr: float) -> None:
        super().__init__(psnr)
        self._home = tempfile.TemporaryDirectory()
        places = {"HOME": self._home.name, "GUARDED_SORA_HOME": self._home.name}
        paths = os.pathsep.join([str(Path(__file__).resolve().parents[1]), *filter(None, sys.path)])
        self._child = subprocess.Popen(
            [sys.executable, "-m", READER, KEY.secret.hex(), str(KEY.epoch), KEY.tenant],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=self._home.name,
            env={**os.environ, **places, "PYTHONPATH": paths},
        )  # fmt: skip

    def read(self, film: Film, number: int) -> Answer:
        """What the other process read. Raises ``RuntimeError`` where it found more than an empty home."""
        assert self._child.stdin is not None and self._child.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "film.npy")
            np.save(path, film.frames)
            self._child.stdin.write(json.dumps({"frames": str(path), "fps": film.fps}) + "\n")
            self._child.stdin.flush()
            answer = json.loads(self._child.stdout.readline())
        if os.listdir(self._home.name):
            raise RuntimeError("the reader left something in its home")
        return _answer(answer["state"] == "present", answer["id"], answer["log10_p"], number)

    def close(self) -> None:
        """End the other process and remove its home."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.close()
        self._child.wait(timeout=30)
        self._child.stdout.close()
        self._home.cleanup()


def _answer(present: bool, found: int | None, log10_p: float, number: int) -> Answer:
    right = present and found == number
    return right, present and not right, log10_p, 1.0 if right else 0.5


class InvisibleWatermark:
    """One mode of invisible-watermark: 32 bits in every frame, majority of ``looks`` frames.

    Without a key or a bound, it is called accepted where all 32 known bits are right (p = 2e-10).
    """

    def __init__(self, mode: str, looks: int = 5) -> None:
        from imwatermark import WatermarkDecoder, WatermarkEncoder

        self.name = f"invisible-watermark {mode}"
        self._mode, self._looks = mode, looks
        self._encoder, self._decoder = WatermarkEncoder(), WatermarkDecoder("bits", PEER_BITS)
        if mode == "rivaGan":
            WatermarkEncoder.loadModel()
            WatermarkDecoder.loadModel()

    def embed(self, film: Film, number: int) -> Film:
        """The film with the low 32 bits of ``number`` in every frame."""
        self._encoder.set_watermark("bits", _bits(number).tolist())
        frames = [self._encoder.encode(frame[..., ::-1], self._mode)[..., ::-1] for frame in film.frames]
        return Film(frames=np.stack(frames).astype(np.uint8), fps=film.fps)

    def read(self, film: Film, number: int) -> Answer:
        """Majority of hard bits over evenly spread frames."""
        places = np.linspace(0, len(film.frames) - 1, self._looks + 2)[1:-1]
        votes = np.zeros(PEER_BITS)
        for index in np.unique(places.round().astype(int)):
            try:
                bits = self._decoder.decode(np.ascontiguousarray(film.frames[index][..., ::-1]), self._mode)
            except RuntimeError:  # the package refuses pictures below 256 x 256 pixels
                return False, False, 0.0, 0.5
            votes += np.asarray(bits, dtype=float) - 0.5
        share = float(np.mean((votes > 0) == _bits(number)))
        return share == 1.0, False, -9.6 if share == 1.0 else 0.0, share


def _bits(number: int) -> NDArray[np.bool_]:
    return np.array([number >> shift & 1 for shift in range(PEER_BITS)], dtype=bool)


def marks(psnr: float, *, names: str = "*", fresh: bool = False, looks: int = 5) -> list[Any]:
    """Ours and whatever peer is installed, as far as ``names`` (patterns with commas) let them."""
    import fnmatch

    wanted = names.split(",")

    def asked(name: str) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in wanted)

    found: list[Any] = [OursInFreshHome(psnr) if fresh else Ours(psnr)] if asked(OURS) else []
    for mode in MODES:
        if asked(mode):
            try:
                found.append(InvisibleWatermark(mode, looks))
            except Exception as problem:  # not installed, or its runtime is missing: said, not hidden
                print(f"left out: invisible-watermark {mode} ({type(problem).__name__})", file=sys.stderr)
    return found
