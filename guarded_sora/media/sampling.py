"""Which frames of a film are looked at, and which packets need not even be decoded for that."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

# H.264 reorders at most 16 frames (ITU-T H.264, A.3.1: MaxDpbFrames), so the frame shown just before
# a given one lies at most that many packets away from it.
_REORDER = 18
_MAX_UNITS = 4096


class Sampler:
    """Chooses the first frame at or after each tick of ``fps`` a second; all frames when it is None.

    Used in two places: before the decoder, where packets no chosen frame depends on are dropped,
    and after it. ``start`` is the time of the first picture; nothing is dropped until it is known.
    """

    def __init__(self, fps: float | None, wants: Callable[[float], bool] | None = None) -> None:
        """``wants`` says of a time whether it is looked at at all; None for the whole film."""
        self._fps = fps
        self._wants = wants or (lambda time: True)
        self._last = -1
        self.start: float | None = None

    def tick(self, time: float) -> int:
        """The number of the tick that ``time``, in seconds from the first picture, belongs to."""
        return math.floor(time * (self._fps or 0.0) + 1e-6)

    def takes(self, time: float) -> bool:
        """Whether the frame at ``time`` is chosen. Ask once for each frame, in the order of time."""
        if not self._wants(time):
            return False
        if self._fps is None:
            return True
        tick = self.tick(time)
        taken = tick > self._last
        self._last = max(self._last, tick)
        return taken

    def needed(self, packets: Iterable[Any], stream: Any) -> Iterator[Any]:
        """``packets`` without those whose frame is neither chosen nor used to predict another.

        What is decoded of the rest does not change by that. Only H.264 in mp4, mov and mkv is
        thinned out: its packets say by themselves whether other frames refer to them.
        """
        prefix = _length_prefix(stream.codec_context)
        if self._fps is None or prefix == 0 or not stream.time_base:
            yield from packets
            return
        ahead: deque[Any] = deque()
        behind: deque[int] = deque(maxlen=_REORDER)
        for packet in packets:
            ahead.append(packet)
            if len(ahead) > _REORDER:
                yield from self._kept(ahead, behind, prefix, stream.time_base)
        while ahead:
            yield from self._kept(ahead, behind, prefix, stream.time_base)

    def _kept(self, ahead: deque[Any], behind: deque[int], prefix: int, time_base: Any) -> Iterator[Any]:
        packet = ahead.popleft()
        if packet.pts is None or self.start is None:
            yield packet
        else:
            earlier = [pts for pts in behind if pts < packet.pts]
            earlier += [other.pts for other in ahead if other.pts is not None and other.pts < packet.pts]
            chosen = not earlier or self._ticked(max(earlier), time_base) < self._ticked(
                packet.pts, time_base
            )
            wanted = chosen and self._wants(float(packet.pts * time_base) - self.start)
            if wanted or not is_disposable(packet, prefix):
                yield packet
        if packet.pts is not None:
            behind.append(packet.pts)

    def _ticked(self, pts: int, time_base: Any) -> int:
        return self.tick(float(pts * time_base) - (self.start or 0.0))


def is_disposable(packet: Any, prefix: int) -> bool:
    """Whether no other frame is predicted from this H.264 packet: nal_ref_idc is 0 in all its slices.

    ``prefix`` is the number of bytes before each unit that give its length (ISO/IEC 14496-15, 5.3.3).
    Anything unclear counts as needed.
    """
    data = memoryview(packet)
    position, slices = 0, 0
    for _ in range(_MAX_UNITS):
        if position + prefix >= len(data):
            return slices > 0
        length = int.from_bytes(data[position : position + prefix], "big")
        header = data[position + prefix]
        if 1 <= header & 31 <= 5:
            if header >> 5 & 3:
                return False
            slices += 1
        position += prefix + length
    return False


def _length_prefix(context: Any) -> int:
    """How many bytes give the length of each unit; 0 for other codecs and other packings."""
    extradata = context.extradata
    if context.name != "h264" or not extradata or len(extradata) < 7 or extradata[0] != 1:
        return 0
    return int(extradata[4] & 3) + 1
