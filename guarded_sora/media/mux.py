"""Puts the audio of one film beside the pictures of another, packet by packet, nothing re-encoded.

The audio file is a stranger's, so this runs inside the worker wherever there is one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import av

from guarded_sora.errors import MediaError
from guarded_sora.media.decode import OPTIONS
from guarded_sora.media.files import WRITE_ERRORS, cannot_write


def mux_audio(
    pictures: Path, audio_from: Path, target: Path, *, metadata: Mapping[str, str], options: Mapping[str, str]
) -> int:
    """Write ``target``: the video of ``pictures`` and all audio tracks of ``audio_from``.

    Sound keeps its distance to the first picture of the film it came from. Returns the number of
    audio tracks. Raises MediaError.
    """
    try:
        with (
            av.open(f"file:{pictures}", options=OPTIONS) as film,
            av.open(f"file:{audio_from}", options=OPTIONS, metadata_errors="ignore") as sound,
            av.open(str(target), "w", format="mp4", options=dict(options)) as output,
        ):
            output.metadata.update(metadata)
            video = film.streams.video[0]
            tracks: dict[Any, Any] = {video: output.add_stream_from_template(video, opaque=True)}
            for track in sound.streams.audio:
                try:
                    tracks[track] = output.add_stream_from_template(track, opaque=True)
                except ValueError:
                    name = track.codec_context.name if track.codec_context else "unknown"
                    raise MediaError(
                        f"The sound of {audio_from} ({name}) does not fit into mp4; convert it to AAC first."
                    ) from None
                tracks[track].metadata.update(
                    {key: value for key, value in track.metadata.items() if key == "language"}
                )
            start = _start(audio_from) if sound.streams.video else 0.0
            for _, _, packet, offset in heapq.merge(
                _packets(film, [video], 0.0, 0),
                _packets(sound, list(sound.streams.audio), start, 1),
                key=lambda entry: entry[:2],
            ):
                shift = round(offset / packet.time_base) if packet.time_base else 0
                packet.pts = None if packet.pts is None else packet.pts - shift
                packet.dts = None if packet.dts is None else packet.dts - shift
                packet.stream = tracks[packet.stream]
                output.mux_one(packet)
            return len(sound.streams.audio)
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        if getattr(error, "errno", None) in WRITE_ERRORS:
            raise MediaError(cannot_write(target, error)) from None
        raise MediaError(
            f"The sound of {audio_from} cannot be copied; it is damaged, so convert it first."
        ) from None


def _packets(
    container: Any, streams: list[Any], offset: float, order: int
) -> Iterator[tuple[float, int, Any, float]]:
    """(seconds, order, packet, offset) of all packets with data, in the order of the file."""
    if not streams:
        return
    latest = float("-inf")
    for packet in container.demux(*streams):
        if packet.size == 0:
            continue
        if packet.dts is not None:
            latest = max(latest, float(packet.dts * packet.time_base) - offset)
        yield latest, order, packet, offset


def _start(path: Path) -> float:
    """When the first picture of a film is shown, on its own clock."""
    with av.open(f"file:{path}", options=OPTIONS, metadata_errors="ignore") as film:
        video = film.streams.video[0]
        if video.start_time is None or not video.time_base:
            return 0.0
        return float(video.start_time * video.time_base)
