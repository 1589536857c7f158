"""The card of a text model: a YAML file beside it that says what it is and how its outputs are read.

kind: detoxify                     # or llama-guard, safeguard, moderations
name: detoxify.original
checkpoint: toxic_original.ckpt    # paths are relative to the card
folder: bert-base-uncased          # configuration and tokenizer
sha256: {toxic_original.ckpt: c1212f89...}
readings:
  toxicity: {category: harassment, at: 0.9, severity: 1}
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from guarded_sora.policies.adapters.detoxify import READINGS, DetoxifyCheck
from guarded_sora.policies.adapters.guards import LlamaGuardCheck, LocalModel, SafeguardCheck
from guarded_sora.policies.adapters.moderations import ModerationsCheck
from guarded_sora.policies.adapters.report import Reading
from guarded_sora.policies.errors import ModelInvalid, PackInvalid
from guarded_sora.policies.packfiles import load_yaml, validate
from guarded_sora.policies.taxonomy import CATEGORIES
from guarded_sora.policies.text.check import ModelCheck

MOST_BYTES = 64 * 1024
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class ReadingFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    category: str
    at: float = Field(default=0.5, gt=0.0, le=1.0)
    severity: int = Field(default=2, ge=0, le=3)

    @field_validator("category")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in CATEGORIES:
            raise ValueError(f"{value!r} is no category of the taxonomy")
        return value


class CardFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["detoxify", "llama-guard", "safeguard", "moderations"]
    name: Name
    version: Annotated[str, StringConstraints(max_length=64)] = ""
    folder: str = ""
    checkpoint: str = ""
    sha256: dict[str, Digest] = {}
    at: float = Field(default=0.5, gt=0.0, lt=1.0)
    readings: dict[str, ReadingFile] | None = None
    url: str = ""
    model: Annotated[str, StringConstraints(max_length=128)] = ""
    key_env: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_]*$")] = ""
    timeout: float = Field(default=5.0, gt=0.0, le=60.0)


def load_prompt_card(path: Path) -> ModelCheck:
    """The check that the card at ``path`` describes. Weights are read at the first prompt.

    Raises:
        ModelInvalid: the card cannot be read, or lacks what its kind needs.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelInvalid(
                f"{path.name} is longer than {MOST_BYTES} bytes; give the card of a text model."
            )
        data = path.read_bytes()
    except OSError as error:
        raise ModelInvalid(f"The card {path} cannot be read ({error.strerror}); check the path.") from error
    try:
        card: CardFile = validate(path.name, CardFile, load_yaml(path.name, data))
    except PackInvalid as error:
        raise ModelInvalid(str(error)) from error
    return _make(card, path.parent)


def _make(card: CardFile, home: Path) -> ModelCheck:
    readings = None
    if card.readings is not None:
        readings = {
            label: Reading(category=item.category, at=item.at, severity=item.severity)
            for label, item in card.readings.items()
        }
    if card.kind == "moderations":
        return ModerationsCheck(
            name=card.name,
            url=card.url,
            model=card.model,
            key_env=card.key_env,
            timeout=card.timeout,
            readings=readings,
        )
    if not card.folder or not card.sha256:
        raise ModelInvalid(f"The card {card.name} needs folder and sha256.")
    folder = home / card.folder
    if card.kind == "detoxify":
        if card.checkpoint not in card.sha256:
            raise ModelInvalid(f"The card {card.name} pins no SHA-256 for its checkpoint.")
        return DetoxifyCheck(
            name=card.name,
            checkpoint=home / card.checkpoint,
            sha256=card.sha256[card.checkpoint],
            folder=folder,
            readings=READINGS if readings is None else readings,
        )
    pinned = "".join(f"{name}\0{card.sha256[name]}\n" for name in sorted(card.sha256))
    whole = hashlib.sha256(pinned.encode()).hexdigest()
    version = card.version or f"{folder.name}-{whole[:12]}"
    model = LocalModel(folder, card.sha256)
    if card.kind == "llama-guard":
        return LlamaGuardCheck(name=card.name, version=version, model=model, at=card.at, weights_sha256=whole)
    return SafeguardCheck(name=card.name, version=version, model=model, weights_sha256=whole)
