"""Release: what a caller gets when a film may leave the guard."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guarded_sora.errors import MediaError
from guarded_sora.media import sha256_file
from guarded_sora.media.files import beside
from guarded_sora.policies.finding import CheckRun, Decision
from guarded_sora.policies.rewrite import Rewrite
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.records import check_json, decision_json
from guarded_sora.stages import StageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The signed file and everything that is tied to it. No raw pixels.

    ``in_domain`` is False where the generator says that the prompt lies outside what it learned,
    None where it cannot say or did not make the film. ``rewrite`` holds the wording that was used
    in place of the prompt, with the difference word by word, where the policy asked for one.
    ``expanded`` is what the generator got where the prompt was expanded.
    """

    clip_id: ClipId
    path: Path
    contact_sheet: Path
    sha256: str
    decision: Decision
    checks: tuple[CheckRun, ...]
    stages: tuple[StageRecord, ...]
    audit_seq: int
    seed: int | None = None
    in_domain: bool | None = None
    warnings: tuple[str, ...] = field(default=(), repr=False)  # a backend may quote the prompt
    rewrite: Rewrite | None = field(default=None, repr=False)
    expanded: str | None = field(default=None, repr=False)

    def save(self, target: str | Path) -> Path:
        """Copy the signed file to ``target`` as it is; re-encoding it would strip the credentials.

        Raises:
            MediaError: ``target`` cannot be written, or the file changed since its release.
        """
        target = Path(target)
        try:
            if target.resolve() != self.path.resolve():
                shutil.copyfile(self.path, target)
        except OSError as error:
            raise MediaError(
                f"{target} cannot be written ({error.strerror}); choose another place."
            ) from error
        if sha256_file(target) != self.sha256:
            target.unlink(missing_ok=True)
            raise MediaError(f"{self.path} was changed after its release; take it from a backup.")
        return target

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "clip_id": str(self.clip_id),
            "path": str(self.path),
            "contact_sheet": str(self.contact_sheet),
            "sha256": self.sha256,
            "decision": decision_json(self.decision),
            "checks": [check_json(check) for check in self.checks],
            "stages": [{"name": stage.name, "seconds": round(stage.seconds, 4)} for stage in self.stages],
            "in_domain": self.in_domain,
            "warnings": list(self.warnings),
            "seed": self.seed,
            "expanded": self.expanded,
            "rewrite": None
            if self.rewrite is None
            else {
                "text": self.rewrite.text,
                "changes": [
                    {"before": change.before, "after": change.after}
                    for change in self.rewrite.changes
                    if change.kind == "changed"
                ],
            },
            "audit": {"seq": self.audit_seq},
        }


def place(source: Path, target: Path) -> None:
    """Put a copy of ``source`` at ``target`` in one step; a link there is replaced, not followed.

    Raises:
        MediaError: ``target`` cannot be written.
    """
    try:
        with beside(target) as part:
            shutil.copyfile(source, part)
    except OSError as error:
        raise MediaError(f"{target} cannot be written ({error.strerror}); choose another place.") from error
