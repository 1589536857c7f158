"""``guarded-sora scan``."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guarded_sora.cli.exit_status import USAGE, of_verdict, worst
from guarded_sora.cli.options import output_options, state_options
from guarded_sora.cli.output import Reply, open_sora, print_json, print_table
from guarded_sora.settings import Settings

if TYPE_CHECKING:
    from guarded_sora.scan import Summary


@click.command("scan")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("scan.jsonl"),
    show_default=True,
    help="One line of JSON a film.",
)
@click.option("--resume", is_flag=True, help="Go on with OUT: pass over what it holds and has not changed.")
@click.option(
    "--depth",
    type=click.Choice(["credentials", "provenance", "full"]),
    default="full",
    show_default=True,
    help="As for verify.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0.1),
    default=60.0,
    show_default=True,
    help="Seconds for one film; what takes longer is inconclusive.",
)
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Films looked at side by side."
)
@click.option(
    "--engine", type=click.Choice(["local"]), default="local", show_default=True, help="Where the work runs."
)
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for a picture of each film that is put up for review: heat map, timeline, contributions.",
)
@output_options
@state_options
def command(
    paths: tuple[Path, ...],
    out: Path,
    resume: bool,
    depth: str,
    budget: float,
    jobs: int,
    engine: str,
    pictures: Path | None,
    reply: Reply,
    settings: Settings,
) -> int:
    """Look at every film under PATHS, write a line of JSON each, and sum up.

    Exit status as for verify, of all films the worst.
    """
    from guarded_sora.scan import scan

    statuses: set[int] = set()
    shown = not reply.quiet and sys.stderr.isatty()

    with open_sora(settings) as sora:

        def told(line: dict[str, Any], summary: Summary) -> None:
            statuses.add(USAGE if "error" in line else of_verdict(line["verdict"], line.get("notices", ())))
            if reply.as_json:
                print_json(line)
            if shown:
                rate = summary.scanned / max(summary.seconds, 1e-9)
                click.echo(f"\r{summary.scanned} films, {rate:.2f} a second", nl=False, err=True)
            if pictures is not None and "error" not in line:
                from guarded_sora.explain import draw_if_telling

                draw_if_telling(sora.services, line, pictures)

        summary = scan(
            sora.services,
            paths,
            out,
            depth=depth,  # type: ignore[arg-type]
            budget=budget,
            resume=resume,
            jobs=jobs,
            told=told,
        )
    if shown:
        click.echo("", err=True)
    if not reply.as_json:
        _show(summary, out)
    return worst(statuses)


def _show(summary: Summary, out: Path) -> None:
    counted: Counter[str] = summary.verdicts
    rows: list[tuple[str, int]] = sorted(counted.items(), key=lambda item: -item[1])
    rows += [("put up for review by the detector", summary.for_review)]
    rows += [("could not be opened", summary.errors), ("passed over, known already", summary.skipped)]
    print_table(f"{summary.scanned} films in {summary.seconds:.1f} s", ("verdict", "films"), rows)
    click.echo(f"lines in {out}")
