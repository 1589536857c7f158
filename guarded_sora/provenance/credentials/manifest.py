"""What we claim about a clip, as values, and its translation into a C2PA manifest definition.

The manifest is public. It names the checks that ran but never a threshold, a score or a likeness result;
it holds a keyed commitment to the prompt and never the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.cleaning import clean_text

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TRAINED_ALGORITHMIC_MEDIA = IPTC + "trainedAlgorithmicMedia"
COMPOSITE_WITH_TRAINED = IPTC + "compositeWithTrainedAlgorithmicMedia"
SOURCE_TYPES: Mapping[str, str] = MappingProxyType(
    {
        name: IPTC + name
        for name in (
            "algorithmicMedia",
            "algorithmicallyEnhanced",
            "composite",
            "compositeCapture",
            "compositeSynthetic",
            "compositeWithTrainedAlgorithmicMedia",
            "computationalCapture",
            "dataDrivenMedia",
            "digitalCapture",
            "digitalCreation",
            "digitisedFilm",
            "humanEdits",
            "screenCapture",
            "trainedAlgorithmicData",
            "trainedAlgorithmicMedia",
            "virtualRecording",
        )
    }
)
"""IPTC digital source types by short name."""

SOFT_BINDING_ALGORITHM = "org.guardedsora.keyseal.1"
RECORD_LABEL = "org.guardedsora.record"
"""Our own assertion: what ties the clip to its decision and its log entry."""
PARENT_LABEL = "parent"

_COMMITMENT = re.compile(r"hmac-sha256:[0-9a-f]{64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
SPEC_VERSION = "2.4.0"

Use = Literal["allowed", "notAllowed", "constrained"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """What made the pixels. Digests are hex SHA-256 or None where they cannot be known."""

    name: str
    version: str
    licence: str = ""
    weights_sha256: str | None = None
    data_digest: str | None = None
    settings: Mapping[str, str | int | float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftBinding:
    """The mark as another system can look it up: ``value`` is text with a schema prefix (``gs1.<hex>``).

    ``timespans`` are (start, end) in milliseconds where the value was embedded; empty means the whole clip.
    """

    value: str
    algorithm: str = SOFT_BINDING_ALGORITHM
    name: str = "Keyed tile spread spectrum watermark"
    timespans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The policy pack that decided: ``digest`` is SHA-256 over its files, hex."""

    id: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check that ran: name and version, nothing else."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredient:
    """A file that went into the clip: ``parentOf`` (edited), ``inputTo`` (prompt) or ``componentOf``.

    ``title`` is shown to people; give a neutral one, a file name may be personal.
    """

    path: Path
    relationship: Literal["parentOf", "inputTo", "componentOf"]
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMining:
    """What others may do with the clip (CAWG training and data mining assertion)."""

    ai_inference: Use = "allowed"
    ai_generative_training: Use = "notAllowed"
    ai_training: Use = "notAllowed"
    data_mining: Use = "notAllowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestContent:
    """Everything a manifest says.

    ``clip_id`` is the text form (``gs1:<issuer>:<id>``). ``source_type`` is an IPTC URI. ``edit`` makes
    the first action ``c2pa.opened`` with the one ``parentOf`` ingredient, followed by ``c2pa.edited``;
    without it the first action is ``c2pa.created``. ``oversight`` says how far a human steered. ``labels``
    names visible labels drawn into the frames. ``thumbnail`` is a JPEG or None. ``consents`` proves each
    consent the film rests on without its person: SHA-256 of the signed grant, and the token's id.

    Raises ``ProvenanceError`` for values that would say something false or reveal something private: a prompt
    commitment that is not one, a second parent, an edit without a parent.
    """

    clip_id: str
    title: str
    generator: Generator
    created: datetime
    soft_binding: SoftBinding | None = None
    provider: str = ""
    tool_name: str = "guarded-sora"
    tool_version: str = "0"
    source_type: str = TRAINED_ALGORITHMIC_MEDIA
    edit: bool = False
    prompt_commitment: str | None = None
    policy: Policy | None = None
    intent_event_id: str | None = None
    checks: tuple[Check, ...] = ()
    checks_digest: str | None = None
    consents: tuple[tuple[str, str], ...] = ()
    ingredients: tuple[Ingredient, ...] = ()
    labels: tuple[str, ...] = ()
    model_type: str = "c2pa.types.model"
    oversight: Literal["fully_autonomous", "prompt_guided", "human_validated"] = "prompt_guided"
    training_mining: TrainingMining = TrainingMining()
    detector_url: str | None = None
    thumbnail: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.prompt_commitment is not None and not _COMMITMENT.fullmatch(self.prompt_commitment):
            raise ProvenanceError(
                "The prompt commitment must be 'hmac-sha256:' and 64 hex digits, never the prompt itself."
            )
        for name, digest in (
            ("checks digest", self.checks_digest),
            ("weights hash", self.generator.weights_sha256),
            *(("grant's hash", digest) for digest, _ in self.consents),
        ):
            if digest is not None and not _SHA256.fullmatch(digest):
                raise ProvenanceError(f"The {name} must be 64 lower-case hex digits.")
        if not self.source_type.startswith(IPTC):
            raise ProvenanceError(
                "The source type must be an IPTC digital source type; use one of: "
                + ", ".join(sorted(SOURCE_TYPES))
                + "."
            )
        parents = sum(item.relationship == "parentOf" for item in self.ingredients)
        if parents > 1 or self.edit != (parents == 1):
            raise ProvenanceError("An edit has exactly one parent ingredient, anything else has none.")
        if self.created.tzinfo is None:
            raise ProvenanceError("The time of creation needs a time zone.")

    def definition(self, mime: str) -> dict[str, Any]:
        """The manifest definition for a file of type ``mime``."""
        return build_definition(self, mime)


def build_definition(content: ManifestContent, mime: str) -> dict[str, Any]:
    """The definition that the library signs. Labels of ingredients are :func:`ingredient_label`."""
    assertions: list[dict[str, Any]] = [
        _created("c2pa.actions.v2", {"actions": _actions(content), "allActionsIncluded": True})
    ]
    if content.soft_binding is not None:
        assertions.append(_created("c2pa.soft-binding", _soft_binding(content.soft_binding)))
    if says_ai(content.source_type):
        assertions.append(_created("c2pa.ai-disclosure", _disclosure(content)))
    assertions.append(_created("cawg.training-mining", _training_mining(content.training_mining)))
    assertions.append(_created("c2pa.metadata", _metadata(content)) | {"kind": "Json"})
    assertions.append(_created(RECORD_LABEL, _record(content)))
    definition: dict[str, Any] = {
        "claim_generator_info": [
            {
                "name": _text(content.tool_name),
                "version": _text(content.tool_version),
                "specVersion": SPEC_VERSION,
            }
        ],
        "vendor": "guardedsora",
        "title": _text(content.title),
        "format": mime,
        "assertions": assertions,
    }
    if content.thumbnail is not None:
        definition["thumbnail"] = {"format": "image/jpeg", "identifier": "thumbnail.jpg"}
    return definition


def ingredient_label(index: int, ingredient: Ingredient) -> str:
    """The label by which actions refer to the ingredient at ``index``."""
    return PARENT_LABEL if ingredient.relationship == "parentOf" else f"input{index}"


def says_ai(source_type: str | None) -> bool | None:
    """Whether an IPTC source type says that a trained model made all or part of the pixels; None for none.

    ``algorithmicMedia`` (no model was trained) and ``compositeSynthetic`` say synthetic too.
    """
    if not source_type:
        return None
    return source_type.rsplit("/", 1)[-1] in {
        "trainedAlgorithmicMedia",
        "trainedAlgorithmicData",
        "compositeWithTrainedAlgorithmicMedia",
        "compositeSynthetic",
        "algorithmicMedia",
    }


def _actions(content: ManifestContent) -> list[dict[str, Any]]:
    when = _when(content.created)
    agent = {"name": _text(content.generator.name), "version": _text(content.generator.version)}
    inputs = [
        ingredient_label(index, item)
        for index, item in enumerate(content.ingredients)
        if item.relationship != "parentOf"
    ]
    source = {"digitalSourceType": content.source_type}
    with_inputs = {"parameters": {"ingredientIds": inputs}} if inputs else {}
    if content.edit:
        opened = {"action": "c2pa.opened", "when": when, "parameters": {"ingredientIds": [PARENT_LABEL]}}
        edited = {"action": "c2pa.edited", "when": when, "softwareAgent": agent} | source | with_inputs
        actions = [opened, edited]
    else:
        actions = [{"action": "c2pa.created", "when": when, "softwareAgent": agent} | source | with_inputs]
    if content.soft_binding is not None:
        tool = {"name": _text(content.tool_name), "version": _text(content.tool_version)}
        actions.append({"action": "c2pa.watermarked.bound", "when": when, "softwareAgent": tool})
    return actions


def _soft_binding(binding: SoftBinding) -> dict[str, Any]:
    scopes: list[dict[str, Any]] = [
        {"timespan": {"start": start, "end": end}} for start, end in binding.timespans
    ] or [{}]
    return {
        "alg": binding.algorithm,
        "name": _text(binding.name),
        "blocks": [{"scope": scope, "value": binding.value} for scope in scopes],
    }


def _disclosure(content: ManifestContent) -> dict[str, Any]:
    generator = content.generator
    data: dict[str, Any] = {
        "modelType": content.model_type,
        "modelName": _text(f"{generator.name} {generator.version}".strip()),
        "contentProfile": {"humanOversightLevel": content.oversight},
    }
    if generator.weights_sha256:
        data["modelIdentifier"] = f"sha256:{generator.weights_sha256}"
    return data


def _training_mining(terms: TrainingMining) -> dict[str, Any]:
    uses: dict[str, Use] = {
        "cawg.ai_inference": terms.ai_inference,
        "cawg.ai_generative_training": terms.ai_generative_training,
        "cawg.ai_training": terms.ai_training,
        "cawg.data_mining": terms.data_mining,
    }
    return {"entries": {name: {"use": use} for name, use in uses.items()}}


def _metadata(content: ManifestContent) -> dict[str, Any]:
    data: dict[str, Any] = {
        "@context": {
            "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
            "dc": "http://purl.org/dc/elements/1.1/",
        },
        "Iptc4xmpExt:DigitalSourceType": content.source_type,
        "dc:title": _text(content.title),
        "dc:identifier": content.clip_id,
    }
    if content.provider:
        data["dc:creator"] = [_text(content.provider)]
    return data


def _record(content: ManifestContent) -> dict[str, Any]:
    generator = content.generator
    backend: dict[str, Any] = {
        "name": _text(generator.name),
        "version": _text(generator.version),
        "licence": _text(generator.licence),
        "weightsSha256": generator.weights_sha256,
        "dataDigest": generator.data_digest,
        "settings": _public_settings(generator.settings),
    }
    policy = content.policy
    data: dict[str, Any] = {
        "schema": 1,
        "clipId": content.clip_id,
        "provider": _text(content.provider) or None,
        "created": _when(content.created),
        "altered": content.edit or content.source_type != TRAINED_ALGORITHMIC_MEDIA,
        "intentEvent": content.intent_event_id,
        "promptCommitment": content.prompt_commitment,
        "policy": {"id": policy.id, "version": policy.version, "digest": policy.digest} if policy else None,
        "checks": [{"name": check.name, "version": check.version} for check in content.checks],
        "checksDigest": content.checks_digest,
        "consents": [{"grantSha256": digest, "token": _text(token)} for digest, token in content.consents],
        "backend": {name: value for name, value in backend.items() if value not in (None, "", {})},
        "labels": list(content.labels),
        "detector": content.detector_url,
    }
    return {name: value for name, value in data.items() if value not in (None, [], {})}


def _public_settings(settings: Mapping[str, str | int | float]) -> dict[str, str | int]:
    """Settings that may be public; floats as text, so that a reader sees what we wrote and not its rounding.

    Seeds stay private: with open weights, seed and settings, anybody could make the clip of a guessed prompt
    again and compare, which the keyed commitment is there to prevent. So does any text about a prompt.
    """
    return {
        name: value if isinstance(value, int) else _text(str(value))
        for name, value in sorted(settings.items())
        if not any(part in name.lower() for part in ("seed", "prompt", "noise"))
    }


def _created(label: str, data: dict[str, Any]) -> dict[str, Any]:
    """An assertion that the signer makes itself, as opposed to one it merely passes on."""
    return {"label": label, "created": True, "data": data}


def _when(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(value: str) -> str:
    return clean_text(value, limit=200)
