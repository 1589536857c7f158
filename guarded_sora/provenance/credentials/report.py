"""The library's JSON reports, turned into our values. Every text in them is a stranger's."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from guarded_sora.provenance.credentials.cleaning import clean_text
from guarded_sora.provenance.credentials.manifest import RECORD_LABEL, says_ai
from guarded_sora.provenance.credentials.signatures import ManifestSigner

_MAX_LISTED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftBindingClaim:
    """A mark that the manifest names: algorithm and value as text."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What the active manifest claims; believed only as far as its state allows.

    ``clip_id`` and the fields down to ``checks_digest`` come from our own record assertion and are empty
    in other people's manifests. ``created`` is the claimed time, ``timestamp`` the time in the timestamp
    token.
    """

    title: str = ""
    generator: str = ""
    generator_version: str = ""
    source_type: str = ""
    says_ai: bool | None = None
    soft_bindings: tuple[SoftBindingClaim, ...] = ()
    actions: tuple[str, ...] = ()
    created: str = ""
    timestamp: str = ""
    clip_id: str = ""
    provider: str = ""
    model: str = ""
    model_version: str = ""
    intent_event_id: str = ""
    prompt_commitment: str = ""
    policy_digest: str = ""
    checks_digest: str = ""
    labels: tuple[str, ...] = ()
    detector_url: str = ""
    assertions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IngredientReport:
    """A source of the clip and what became of its own credentials.

    ``failures`` are all codes but an unknown signer. ``ours``: its manifest is signed under our own root
    and nothing failed. Whether the clip really contains it is the word of the active manifest's signer.
    """

    title: str
    relationship: str
    label: str
    of: str
    failures: tuple[str, ...]
    ours: bool
    clip_id: str
    source_type: str
    says_ai: bool | None


def read_store(reader: Any, report: Mapping[str, Any]) -> bytes:
    """The whole manifest store that ``reader`` used; empty when the library does not hand it out.

    Any address inside the store answers with all of it, whatever the container of the file was.
    """
    import c2pa

    target = io.BytesIO()
    try:
        reader.resource_to_stream(f"self#jumbf=/c2pa/{report.get('active_manifest')}/c2pa.signature", target)
    except c2pa.C2paError:
        return b""
    return target.getvalue()


def active_codes(report: Mapping[str, Any]) -> tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]:
    """Success, failure and informational codes about the active manifest."""
    active = _mapping(_mapping(report.get("validation_results")).get("activeManifest"))
    return (
        frozenset(_codes(active.get("success"))),
        tuple(dict.fromkeys(_codes(active.get("failure")))),
        tuple(dict.fromkeys(_codes(active.get("informational")))),
    )


def read_claims(report: Mapping[str, Any], label: str) -> Claims:
    """The claims of the manifest called ``label``."""
    manifest = _manifest(report, label)
    generators = _list(manifest.get("claim_generator_info"))
    generator = _mapping(generators[0]) if generators else {}
    actions = list(_actions(manifest))
    record = _assertion(manifest, RECORD_LABEL)
    backend = _mapping(record.get("backend"))
    agents = [_mapping(action.get("softwareAgent")) for action in actions]
    agent: Mapping[str, Any] = next((item for item in agents if item.get("name")), {})
    source = _source_type(manifest)
    return Claims(
        title=clean_text(manifest.get("title")),
        generator=clean_text(generator.get("name")),
        generator_version=clean_text(generator.get("version")),
        source_type=source,
        says_ai=_says_ai(manifest, source),
        soft_bindings=tuple(_soft_bindings(manifest)),
        actions=tuple(clean_text(action.get("action"), limit=64) for action in actions),
        created=next((clean_text(action["when"], limit=40) for action in actions if action.get("when")), ""),
        timestamp=clean_text(_mapping(manifest.get("signature_info")).get("time"), limit=40),
        clip_id=clean_text(record.get("clipId"), limit=64),
        provider=clean_text(record.get("provider")),
        model=clean_text(backend.get("name") or agent.get("name")),
        model_version=clean_text(backend.get("version") or agent.get("version")),
        intent_event_id=clean_text(record.get("intentEvent"), limit=80),
        prompt_commitment=clean_text(record.get("promptCommitment"), limit=80),
        policy_digest=clean_text(_mapping(record.get("policy")).get("digest"), limit=80),
        checks_digest=clean_text(record.get("checksDigest"), limit=80),
        labels=tuple(clean_text(name, limit=80) for name in _list(record.get("labels"))),
        detector_url=clean_text(record.get("detector")),
        assertions=tuple(
            clean_text(_mapping(item).get("label"), limit=80) for item in _list(manifest.get("assertions"))
        ),
    )


def read_ingredients(
    report: Mapping[str, Any], signers: Mapping[str, ManifestSigner]
) -> tuple[IngredientReport, ...]:
    """Every ingredient of every manifest in the store, at most 64.

    A failure stands either in the ingredient's recorded results or in the deltas that this reading
    found; the library leaves one of the two empty, so both are walked.
    """
    deltas = _delta_failures(report)
    found: list[IngredientReport] = []
    for parent, manifest in _mapping(report.get("manifests")).items():
        for position, item in enumerate(_list(_mapping(manifest).get("ingredients"))):
            if len(found) == _MAX_LISTED:
                return tuple(found)
            found.append(_ingredient(report, str(parent), position, _mapping(item), signers, deltas))
    return tuple(found)


def _ingredient(
    report: Mapping[str, Any],
    parent: str,
    position: int,
    item: Mapping[str, Any],
    signers: Mapping[str, ManifestSigner],
    deltas: Mapping[str, tuple[str, ...]],
) -> IngredientReport:
    label = str(item.get("active_manifest") or "")
    results = _mapping(_mapping(item.get("validation_results")).get("activeManifest"))
    address = f"{parent}/c2pa.assertions/{item.get('label') or ''}"
    codes = [*_codes(results.get("failure")), *deltas.get(address, ())]
    failures = tuple(dict.fromkeys(code for code in codes if code != "signingCredential.untrusted"))
    manifest = _manifest(report, label)
    source = _source_type(manifest)
    signer = signers.get(label)
    return IngredientReport(
        title=clean_text(item.get("title")),
        relationship=clean_text(item.get("relationship"), limit=32),
        label=clean_text(label, limit=120),
        of=clean_text(parent, limit=120),
        failures=failures,
        ours=not failures and signer is not None and signer.anchor == "own" and not signer.revoked,
        clip_id=clean_text(_assertion(manifest, RECORD_LABEL).get("clipId"), limit=64),
        source_type=source,
        says_ai=_says_ai(manifest, source),
    )


def _delta_failures(report: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    deltas: dict[str, tuple[str, ...]] = {}
    for entry in _list(_mapping(report.get("validation_results")).get("ingredientDeltas")):
        address = str(_mapping(entry).get("ingredientAssertionURI", "")).rpartition("/c2pa/")[2]
        failure = _mapping(_mapping(entry).get("validationDeltas")).get("failure")
        deltas[address] = (*deltas.get(address, ()), *_codes(failure))
    return deltas


def _says_ai(manifest: Mapping[str, Any], source: str) -> bool | None:
    if any(_is(item, "c2pa.ai-disclosure") for item in _list(manifest.get("assertions"))):
        return True
    return says_ai(source)


def _source_type(manifest: Mapping[str, Any]) -> str:
    """The source type that counts: one that says AI if any does, else the first one named."""
    named = [clean_text(action.get("digitalSourceType")) for action in _actions(manifest)]
    metadata = _assertion(manifest, "c2pa.metadata")
    named += [clean_text(metadata.get("Iptc4xmpExt:DigitalSourceType"))]
    named = [name for name in named if name]
    return next((name for name in named if says_ai(name)), named[0] if named else "")


def _actions(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for item in _list(manifest.get("assertions")):
        if _is(item, "c2pa.actions"):
            for action in _list(_mapping(_mapping(item).get("data")).get("actions"))[:_MAX_LISTED]:
                yield _mapping(action)


def _soft_bindings(manifest: Mapping[str, Any]) -> Iterator[SoftBindingClaim]:
    for item in _list(manifest.get("assertions")):
        if not _is(item, "c2pa.soft-binding"):
            continue
        data = _mapping(_mapping(item).get("data"))
        values = [_mapping(block).get("value") for block in _list(data.get("blocks"))[:_MAX_LISTED]]
        for value in dict.fromkeys(clean_text(text, limit=400) for text in values if isinstance(text, str)):
            yield SoftBindingClaim(algorithm=clean_text(data.get("alg"), limit=120), value=value)


def _is(item: Any, name: str) -> bool:
    """Whether an assertion's label is ``name``, in any version and any instance of it."""
    label = str(_mapping(item).get("label", "")).partition("__")[0]
    return label == name or label.startswith(name + ".v")


def _assertion(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    for item in _list(manifest.get("assertions")):
        if _is(item, name):
            return _mapping(_mapping(item).get("data"))
    return {}


def _manifest(report: Mapping[str, Any], label: str) -> Mapping[str, Any]:
    return _mapping(_mapping(report.get("manifests")).get(label))


def _codes(entries: Any) -> list[str]:
    return [clean_text(_mapping(entry).get("code"), limit=80) for entry in _list(entries)]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
