"""The legs of an examination that look at pixels: whether it is a film at all, its marks, and its looks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from guarded_sora.errors import MediaError, StageFailed
from guarded_sora.evidence import Gathered
from guarded_sora.finish import look_at
from guarded_sora.identify import Identity, identify
from guarded_sora.marks import look_for_public_marks, mark_detail, read_public_marks, revoked_by
from guarded_sora.progress import Progress
from guarded_sora.provenance.credentials.states import Credentials
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkSegment, MarkState
from guarded_sora.services import Services
from guarded_sora.stages import StageRunner
from guarded_sora.store import ClipState
from guarded_sora.verdicts import ContentSign
from guarded_sora.viewing import EXCERPTS, Viewing

Depth = Literal["credentials", "provenance", "full"]

FIRST_TRACK_ONLY = "first_video_track_only"
"""Notice: the file holds several films, and whoever plays it may see another than the one looked at."""

_PILOT = 0.65
"""Coherence of pilot tones from which all of a film is read. Films without the mark show 0.45 to 0.60."""


class Looking:
    """One file that is looked at; every leg adds its evidence to ``found``.

    ``whole``: look at every second, also at depth ``provenance`` of a film that shows nothing of ours.
    """

    def __init__(
        self,
        services: Services,
        runner: StageRunner,
        path: Path,
        depth: Depth,
        *,
        whole: bool,
        found: Gathered,
        progress: Progress,
    ) -> None:
        self.services = services
        self.runner = runner
        self.path = path
        self.depth = depth
        self.whole = whole
        self.found = found
        self.progress = progress
        self._viewed: list[Viewing] = []

    def open(self, *, known: bool) -> tuple[Viewing | None, bool]:
        """The film for the pixel legs, and whether it can be read at all.

        ``known``: its bytes or its credentials are ours, so that all of it is of interest.
        """
        self.progress.stage("open")
        view = self._view(known)
        self._viewed.append(view)
        try:
            there = view.begin()
            info = view.stream.info
        except MediaError as error:
            self.found.add("media", "unreadable", {"reason": str(error)})
            return None, False
        except StageFailed as error:
            # The parser died on it or ran out of time: it cannot be read within our bounds.
            self.found.add("media", "unreadable", {"reason": error.reason})
            return None, False
        if not there:
            self.found.add("media", "unreadable", {"reason": "the film holds no frame"})
            return None, False
        self.found.add(
            "media",
            "readable",
            {
                "width": info.width,
                "height": info.height,
                "fps": round(info.fps, 3),
                "seconds": round(info.duration, 3),
                "codec": info.codec,
                "audio": info.has_audio,
                "video_tracks": info.video_tracks,
            },
        )
        if info.video_tracks > 1:
            self.found.notice(FIRST_TRACK_ONLY)
        if self.depth == "credentials":
            view.close()
            return None, True
        return view, True

    def close(self) -> None:
        """Let go of the process that decodes, whatever came of the examination."""
        for view in self._viewed:
            view.close()

    def _view(self, known: bool) -> Viewing:
        stream = look_at(self.path, self.services.worker, self.services.limits)
        if self.depth == "credentials":
            return Viewing(stream.frame_by_frame())
        if self.depth == "provenance" and not (known or self.whole):
            return Viewing(stream.in_part(EXCERPTS))
        return Viewing(stream, cut=self.depth == "full")

    def origin(
        self, view: Viewing, credentials: Credentials | None
    ) -> tuple[Viewing, MarkEvidence | None, Identity]:
        """What mark and looks say of where the film comes from, and what was looked at for it.

        Excerpts tell whether there is anything of ours in a film; where there is, all of it is read.
        """
        if view.excerpts is not None:
            glance = Gathered()
            mark = self.mark(view, glance)
            identity = self.identify(view, mark, credentials, glance)
            if not _traced(mark) and identity.record is None:
                self.found.take(glance)
                return view, mark, identity
            view.close()
            view = view.whole()
        mark = self.mark(view, self.found)
        return view, mark, self.identify(view, mark, credentials, self.found)

    def mark(self, view: Viewing, found: Gathered) -> MarkEvidence | None:
        self.progress.stage("watermark")
        outcome = self.runner.run_check(
            "watermark",
            self.services.mark.detect,
            view,
            version=self.services.mark.version,
            deadline=self.services.settings.deadlines.mark,
        )
        read = outcome.value
        if read is None:
            found.fault("watermark", outcome.run.reason)
            return None
        if view.excerpts is not None and read.state is MarkState.ABSENT:
            # Of the seconds between nothing is known.
            read = replace(
                read,
                segments=tuple(
                    MarkSegment(start=start, end=end, id=None, state=MarkState.ABSENT)
                    for start, end in view.spans
                ),
            )
        revoked = revoked_by(read, self.services.mark_keys)
        if revoked is not None:
            found.notice("mark_key_revoked")
        found.add("watermark", read.state.value, mark_detail(read, revoked) | _looked_at(view))
        return read

    def public_marks(self, mark: MarkEvidence | None) -> bool:
        """Whether a mark that everybody can read says "synthetic"; not asked where ours was found."""
        if self.depth == "credentials" or (mark is not None and mark.state is MarkState.PRESENT):
            return False
        self.progress.stage("public_watermarks")
        evidence, synthetic = read_public_marks(
            self.services, self.runner, look_for_public_marks(self.path, self.services.worker)
        )
        self.found.evidence += evidence
        return synthetic

    def identify(
        self, view: Viewing, mark: MarkEvidence | None, credentials: Credentials | None, found: Gathered
    ) -> Identity:
        """Compare the picture with the clips that mark, credentials or likeness lead to."""
        self.progress.stage("fingerprint")
        outcome = self.runner.run_check(
            "fingerprint",
            self._compare,
            view,
            mark,
            credentials.claims.clip_id if credentials and credentials.ours else "",
            version="1",
            deadline=self.services.settings.deadlines.mark,
        )
        if outcome.value is None:
            found.fault("fingerprint", outcome.run.reason)
            return Identity()
        identity = outcome.value
        if identity.record is not None and identity.record.state is ClipState.WITHDRAWN:
            found.notice("withdrawn")
        if identity.marked is not None and identity.content is ContentSign.NONE:
            # Cropped or turned: the mark holds, but the picture cannot be laid over ours.
            found.notice("content_not_confirmed")
        found.add("fingerprint", identity.content.value, identity.detail() | _looked_at(view))
        return identity

    def _compare(self, view: Viewing, mark: MarkEvidence | None, claimed: str) -> Identity:
        info = view.stream.info
        return identify(
            self.services.store,
            view,
            view.hashes(),
            size=(info.width, info.height),
            mark=mark,
            claimed=claimed,
        )


def _traced(mark: MarkEvidence | None) -> bool:
    """Whether an excerpt makes the rest of the film worth reading; on less than would prove anything."""
    if mark is None or mark.frames == 0:
        return False
    return mark.state is not MarkState.ABSENT or mark.pilot >= _PILOT


def _looked_at(view: Viewing) -> dict[str, list[list[float]]]:
    return {"looked_at": [[round(start, 3), round(end, 3)] for start, end in view.spans]}


__all__ = ["Depth", "Looking"]
