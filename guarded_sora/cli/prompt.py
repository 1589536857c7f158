"""``guarded-sora prompt``."""

from __future__ import annotations

from collections import deque
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guarded_sora.cli.exit_status import OK
from guarded_sora.cli.options import chosen, output_options, reader_options, state_options
from guarded_sora.cli.output import Reply, clean, print_json, print_table
from guarded_sora.errors import UsageError
from guarded_sora.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from guarded_sora.generation.report import PromptReport


@click.command("prompt")
@click.argument("prompt")
@click.option("--image", type=click.Path(path_type=Path), help="The picture that the film would start from.")
@click.option("--video", type=click.Path(path_type=Path), help="The film that would be continued.")
@reader_options
@output_options
@state_options
def command(
    prompt: str,
    image: Path | None,
    video: Path | None,
    reader: Path | None,
    reader_model: Path | None,
    reply: Reply,
    settings: Settings,
) -> int:
    """Say what the built-in generator understands of PROMPT, word by word. Nothing is made or logged.

    Exit status: 0, whatever was understood.
    """
    from guarded_sora.generation.report import report_prompt, report_reading

    if image is not None and video is not None:
        raise UsageError("Give --image or --video, not both.")
    asked = chosen(settings, reader=reader, reader_model=reader_model)
    if asked.reader is None:
        report = report_prompt(prompt, _picture(image, video))
    else:  # late: it needs torch
        from guarded_sora.generation.language import load_reader

        trained = load_reader(asked.reader, asked.reader_model)
        report = report_reading(trained.read(prompt), _picture(image, video))
    if reply.as_json:
        print_json(report.as_json())
    else:
        show_report(report)
    return OK


def _picture(image: Path | None, video: Path | None) -> NDArray[np.uint8] | None:
    """The picture that the film goes on from: the image, or the last frame of the film."""
    if image is None and video is None:
        return None
    from guarded_sora.media import FrameStream, read_image
    from guarded_sora.worker import Worker

    worker = Worker()
    if image is not None:
        return read_image(image, worker)
    assert video is not None
    frames = (frame for batch in FrameStream(video, worker, max_short_side=360) for frame in batch.frames)
    last: NDArray[np.uint8] = deque(frames, 1)[0]
    return last


def show_report(report: PromptReport) -> None:
    """A table of the words, or what is understood as a whole; then what is left open and in the way."""
    from guarded_sora.generation.report import understood

    rows = [
        (word.text, word.means.replace(": ", " "), word.fate, word.note)
        for word in islice((word for word in report.words if word.fate != "joins"), 60)
    ]
    if rows:
        print_table("", ("word", "means", "", "note"), rows)
    else:
        said = understood(report.reading)
        click.echo(
            f"understood     {', '.join(f'{kind} {name}' for kind, name in said.items()) or 'nothing'}"
        )
    if report.picture is not None:
        click.echo(f"picture        {report.picture}")
    if report.open:
        click.echo(f"left open      {', '.join(report.open)}")
    for note in (*report.reading.warnings, *report.conflicts):
        click.echo(f"note           {clean(note)}")
    click.echo(f"in its world   {'yes' if report.in_domain else 'no'}")
