"""Draws what the detector saw in a film: heat map, timeline, what each family of traces adds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from guarded_sora.detectors.synthetic import Facts, SyntheticReport
from guarded_sora.detectors.synthetic.blocks import SAMPLE_FPS
from guarded_sora.detectors.synthetic.explain import picture
from guarded_sora.errors import GuardedSoraError, MediaError
from guarded_sora.finish import look_at
from guarded_sora.services import Services

_TELLING = ("for_review", "likely")


def explain(services: Services, film: Path, target: Path) -> SyntheticReport:
    """Look at the whole picture of ``film`` and write the explanation to ``target``, a PNG.

    Raises:
        MediaError: the film cannot be read, or the picture cannot be written.
    """
    stream = look_at(film, services.worker)
    info = stream.info
    report = services.synthetic().inspect_film(
        stream.sampled(sample_fps=SAMPLE_FPS),
        Facts(
            width=info.width,
            height=info.height,
            fps=info.fps,
            seconds=info.duration,
            has_audio=info.has_audio,
        ),
        whole_picture=True,
    )
    first = next(iter(stream), None)
    if first is None:
        raise MediaError(f"{film} holds no frame.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        picture(report, first.frames[0]).save(target, "PNG")
    except OSError as error:
        raise MediaError(f"{target} cannot be written ({error.strerror}); choose another place.") from error
    return report


def draw_if_telling(services: Services, line: dict[str, Any], folder: Path) -> Path | None:
    """A picture for a scanned film that was put up for review; None for others or where it fails."""
    states = [item["state"] for item in line.get("evidence", ()) if item["kind"] == "detector"]
    if not any(state in _TELLING for state in states) or not line.get("sha256"):
        return None
    target = folder / f"{line['sha256'][:16]}.png"
    try:
        explain(services, Path(line["file"]), target)
    except GuardedSoraError:
        return None  # the verdict stands; only its picture is missing
    return target


__all__ = ["draw_if_telling", "explain"]
