"""The legs of an examination that look at pixels: whether it is a film at all, its marks, and its looks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from guarded_sora.errors import MediaError, StageFailed
from guarded_sora.evidence import Gathered
from guarded_sora.finish import look_at
from guarded_sora.identify import Identity, identify
from guarded_sora.marks import look_for_public_marks, mark_detail, read_public_marks, revoked_by
from guarded_sora.media import FrameStream
from guarded_sora.progress import Progress
from guarded_sora.provenance.credentials.states import Credentials
from guarded_sora.provenance.watermark.contract import MarkEvidence, MarkState
from guarded_sora.services import Services
from guarded_sora.stages import StageRunner
from guarded_sora.store import ClipState
from guarded_sora.verdicts import ContentSign

Depth = Literal["credentials", "provenance", "full"]


class Looking:
    """One file that is looked at; every leg adds its evidence to ``found``."""

    def __init__(
        self,
        services: Services,
        runner: StageRunner,
        path: Path,
        depth: Depth,
        *,
        found: Gathered,
        progress: Progress,
    ) -> None:
        self.services = services
        self.runner = runner
        self.path = path
        self.depth = depth
        self.found = found
        self.progress = progress

    def open(self) -> tuple[FrameStream | None, bool]:
        """The film for the pixel legs, and whether it can be read at all."""
        self.progress.stage("open")
        stream = look_at(self.path, self.services.worker, self.services.limits)
        try:
            info = stream.info
            first = next(iter(stream), None)
        except MediaError as error:
            self.found.add("media", "unreadable", {"reason": str(error)})
            return None, False
        except StageFailed as error:
            # The parser died on it or ran out of time: it cannot be read within our bounds.
            self.found.add("media", "unreadable", {"reason": error.reason})
            return None, False
        if first is None:
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
            },
        )
        return (None if self.depth == "credentials" else stream), True

    def mark(self, stream: FrameStream) -> MarkEvidence | None:
        self.progress.stage("watermark")
        outcome = self.runner.run_check(
            "watermark",
            self.services.mark.detect,
            stream,
            version=self.services.mark.version,
            deadline=self.services.settings.deadlines.mark,
        )
        found = outcome.value
        if found is None:
            self.found.fault("watermark", outcome.run.reason)
            return None
        revoked = revoked_by(found, self.services.mark_keys)
        if revoked is not None:
            self.found.notice("mark_key_revoked")
        self.found.add("watermark", found.state.value, mark_detail(found, revoked))
        return found

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
        self, stream: FrameStream | None, mark: MarkEvidence | None, credentials: Credentials | None
    ) -> Identity:
        """Compare the picture with the clips that mark, credentials or likeness lead to."""
        if stream is None:
            return Identity()
        self.progress.stage("fingerprint")
        outcome = self.runner.run_check(
            "fingerprint",
            identify,
            self.services.store,
            stream,
            size=(stream.info.width, stream.info.height),
            mark=mark,
            claimed=credentials.claims.clip_id if credentials and credentials.ours else "",
            version="1",
            deadline=self.services.settings.deadlines.mark,
        )
        if outcome.value is None:
            self.found.fault("fingerprint", outcome.run.reason)
            return Identity()
        identity = outcome.value
        if identity.record is not None and identity.record.state is ClipState.WITHDRAWN:
            self.found.notice("withdrawn")
        if identity.marked is not None and identity.content is ContentSign.NONE:
            # Cropped or turned: the mark holds, but the picture cannot be laid over ours.
            self.found.notice("content_not_confirmed")
        self.found.add("fingerprint", identity.content.value, identity.detail())
        return identity


__all__ = ["Depth", "Looking"]
