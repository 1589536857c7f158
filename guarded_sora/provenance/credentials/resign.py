"""Re-signing by a platform: a signed clip comes in, a transcoded one goes out, the chain stays whole.

The platform states only what it did (opened, transcoded or published); what the clip is and who made it
stays the word of the first signer, kept as parent ingredient with the result of checking it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.cleaning import clean_text
from guarded_sora.provenance.credentials.manifest import PARENT_LABEL, SPEC_VERSION, Ingredient
from guarded_sora.provenance.credentials.read import read
from guarded_sora.provenance.credentials.sign import Signed, sign
from guarded_sora.provenance.credentials.signer import Signer
from guarded_sora.provenance.credentials.states import State
from guarded_sora.provenance.credentials.timestamps import TimestampPolicy
from guarded_sora.provenance.credentials.trust import Trust

Handling = Literal["c2pa.transcoded", "c2pa.published", "c2pa.repackaged", "c2pa.resized.proportional"]

_ACCEPTED = (
    State.TRUSTED,
    State.VALID_UNKNOWN_SIGNER,
    State.EXPIRED_NO_TIMESTAMP,
    State.TRUSTED_WITH_BAD_INGREDIENT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformContent:
    """What a platform says of a clip it passed on: its name and version, what it did, when.

    ``parent`` is the clip as it came in, still signed. Nothing editorial can be stated here: for that,
    sign as an edit.
    """

    platform: str
    version: str
    parent: Path
    title: str = "Film"
    handling: tuple[Handling, ...] = ("c2pa.transcoded",)
    when: datetime | None = None

    def __post_init__(self) -> None:
        if not self.platform.strip() or not self.handling:
            raise ProvenanceError("Re-signing needs the platform's name and what it did.")

    @property
    def ingredients(self) -> tuple[Ingredient, ...]:
        return (Ingredient(path=self.parent, relationship="parentOf", title="Film as received"),)

    @property
    def thumbnail(self) -> None:
        return None

    def definition(self, mime: str) -> dict[str, Any]:
        """The manifest definition for a file of type ``mime``."""
        moment = (self.when or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        agent = {"name": clean_text(self.platform), "version": clean_text(self.version)}
        opened = {"action": "c2pa.opened", "when": moment, "parameters": {"ingredientIds": [PARENT_LABEL]}}
        handled = [{"action": name, "when": moment, "softwareAgent": agent} for name in self.handling]
        actions = {"actions": [opened, *handled], "allActionsIncluded": True}
        return {
            "claim_generator_info": [agent | {"specVersion": SPEC_VERSION}],
            "vendor": "guardedsora",
            "title": clean_text(self.title),
            "format": mime,
            "assertions": [{"label": "c2pa.actions.v2", "created": True, "data": actions}],
        }


def resign(
    transcoded: Path,
    dst: Path,
    content: PlatformContent,
    signer: Signer,
    *,
    trust: Trust,
    timestamp: TimestampPolicy | None = None,
) -> Signed:
    """Sign ``transcoded`` to ``dst`` with the clip it was made from as parent.

    Raises ``ProvenanceError`` when the parent's credentials do not hold (a platform that vouches for a
    tampered film would launder it), and as :func:`~guarded_sora.provenance.credentials.sign.sign` does.
    """
    found = read(content.parent, trust)
    if found.state not in _ACCEPTED:
        raise ProvenanceError(
            f"The film as received carries no credentials that hold ({found.state}); pass it on without "
            "signing, or sign it as a film of unknown origin."
        )
    return sign(transcoded, dst, content, signer, trust=trust, timestamp=timestamp)
