"""Marks of others: read, never written, and no proof of anything.

A public mark has no key. Anybody can write it, so finding one says only that somebody marked the
film this way. What is compared is always a known message: a network or a transform gives bits for
every picture, marked or not, so bits alone mean nothing.

Legend: H height, W width, N bits of a message.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkState

LOOKS = 3
"""Frames of a film that a reader looks at; bits are the majority over them."""

PRESENT_LOG10 = -6.0
TRACE_LOG10 = -3.0

Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMessage:
    """A message that is worth recognising. ``synthetic``: whoever writes it says that the picture is made."""

    name: str
    bits: tuple[bool, ...]
    mode: str = ""
    synthetic: bool = False


class BitDecoder(Protocol):
    """What knows one kind of mark."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def unavailable(self) -> str:
        """Why it cannot run, and what to do; empty when it can."""
        ...

    def decode(self, frame: NDArray[np.uint8], mode: str, count: int) -> Bits | None:
        """(N,) with N = ``count``, from an sRGB frame uint8 (H, W, 3); None for a frame too small.

        Raises ``ProvenanceError`` where the decoder fails.
        """
        ...


@runtime_checkable
class MarkReader(Protocol):
    """Reads a mark that somebody else writes."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def unavailable(self) -> str: ...

    def detect(self, frames: Iterable[FrameBatch]) -> PublicEvidence: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicEvidence:
    """``message``: name of the known message that fits best. ``matched`` of its ``bits`` agree.

    ``found``: ``log10_p`` is the chance that fair coins agree as well with any of the messages compared.
    """

    found: MarkEvidence
    message: str = ""
    matched: int = 0
    bits: int = 0
    synthetic: bool = False

    @property
    def says_synthetic(self) -> bool:
        return self.synthetic and self.found.state is MarkState.PRESENT


class MessageReader:
    """Compares what ``decoder`` reads with known ``messages``."""

    def __init__(self, decoder: BitDecoder, messages: Sequence[KnownMessage]) -> None:
        self._decoder = decoder
        self._messages = tuple(messages)

    @property
    def name(self) -> str:
        return self._decoder.name

    @property
    def version(self) -> str:
        return self._decoder.version

    @property
    def unavailable(self) -> str:
        return self._decoder.unavailable

    def detect(self, frames: Iterable[FrameBatch]) -> PublicEvidence:
        """The message that fits best in the first ``LOOKS`` frames of ``frames``, which may be a sample.

        Raises ``ProvenanceError`` where the decoder fails.
        """
        seen = _first(frames, LOOKS)
        read: dict[tuple[str, int], list[Bits]] = {}
        for frame in seen:
            for mode, count in dict.fromkeys((item.mode, len(item.bits)) for item in self._messages):
                bits = self._decoder.decode(frame, mode, count)
                if bits is not None:
                    read.setdefault((mode, count), []).append(bits)
        best = PublicEvidence(found=self._evidence(MarkState.ABSENT, 0.0, len(seen)))
        if not read:
            reason = "no known messages were given" if seen else "no picture to read"
            reason = "the picture is too small for this mark" if seen and self._messages else reason
            return PublicEvidence(found=self._evidence(MarkState.INCONCLUSIVE, 0.0, len(seen), reason))
        for item in self._messages:
            looks = read.get((item.mode, len(item.bits)))
            if looks is None:
                continue
            majority = np.mean(looks, axis=0) > 0.5
            matched = int(np.sum(majority == np.array(item.bits)))
            log10_p = min(0.0, log10_of_chance(matched, len(item.bits)) + math.log10(len(self._messages)))
            if log10_p < best.found.log10_p or not best.message:
                best = PublicEvidence(
                    found=self._evidence(_state(log10_p), log10_p, len(seen)),
                    message=item.name,
                    matched=matched,
                    bits=len(item.bits),
                    synthetic=item.synthetic,
                )
        return best

    def _evidence(self, state: MarkState, log10_p: float, frames: int, reason: str = "") -> MarkEvidence:
        if not reason:
            reason = "a public mark: anybody can write it" if state is not MarkState.ABSENT else ""
        return MarkEvidence(
            mark=self.name,
            mark_version=self.version,
            state=state,
            log10_p=log10_p,
            hypotheses=len(self._messages),
            frames=frames,
            reason=reason,
        )


def detail_of(public: PublicEvidence) -> Mapping[str, object]:
    """For the evidence of a verdict."""
    return {
        "mark": public.found.mark,
        "public": True,
        "message": public.message or None,
        "matched": public.matched,
        "bits": public.bits,
        "log10_p": round(public.found.log10_p, 2),
        "frames": public.found.frames,
        "reason": public.found.reason,
    }


def log10_of_chance(matched: int, bits: int) -> float:
    """log10 of the chance that at least ``matched`` of ``bits`` fair coins fall right."""
    ways = sum(math.comb(bits, count) for count in range(max(matched, 0), bits + 1))
    return math.log10(ways) - bits * math.log10(2.0) if ways else -math.inf


def bits_of_bytes(text: bytes) -> tuple[bool, ...]:
    """Bits of ``text``, most significant first."""
    return tuple(bool(byte >> place & 1) for byte in text for place in range(7, -1, -1))


def bits_of_number(value: int, count: int) -> tuple[bool, ...]:
    """``count`` bits of ``value``, most significant first."""
    return tuple(bool(value >> place & 1) for place in range(count - 1, -1, -1))


def _state(log10_p: float) -> MarkState:
    if log10_p <= PRESENT_LOG10:
        return MarkState.PRESENT
    return MarkState.INCONCLUSIVE if log10_p <= TRACE_LOG10 else MarkState.ABSENT


def _first(frames: Iterable[FrameBatch], count: int) -> list[NDArray[np.uint8]]:
    found: list[NDArray[np.uint8]] = []
    for batch in frames:
        found += [np.asarray(frame, dtype=np.uint8) for frame in batch.frames[: count - len(found)]]
        if len(found) >= count:
            break
    return found
