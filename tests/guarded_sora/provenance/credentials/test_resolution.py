from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine

from guarded_sora.detectors.fingerprint import SecondHash
from guarded_sora.errors import ProvenanceError, UsageError
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.credentials import resolution
from guarded_sora.provenance.credentials.certificates import Chain
from guarded_sora.provenance.credentials.manifest import (
    COMPOSITE_WITH_TRAINED,
    SOFT_BINDING_ALGORITHM,
    Ingredient,
    SoftBinding,
)
from guarded_sora.provenance.credentials.read import read
from guarded_sora.provenance.credentials.recover import recover
from guarded_sora.provenance.credentials.report import SoftBindingClaim
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner
from guarded_sora.provenance.credentials.states import State
from guarded_sora.provenance.credentials.stored import active_only, describe
from guarded_sora.provenance.credentials.trust import Trust
from guarded_sora.store import ClipState, ClipStore
from guarded_sora.store import migrate as store_migrate
from tests.guarded_sora.provenance.credentials.conftest import content_of, remux

ISSUER = "0a1b2c3d"
ALG = SOFT_BINDING_ALGORITHM


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def hashes(seed: int, seconds: int = 3) -> tuple[SecondHash, ...]:
    random = np.random.default_rng(seed)
    return tuple(SecondHash(second=float(i), bits=random.bytes(32), quality=90) for i in range(seconds))


@pytest.fixture
def clips(tmp_path: Path) -> ClipStore:
    engine = create_engine(f"sqlite:///{tmp_path}/store.db")
    store_migrate.upgrade(engine)
    return ClipStore(engine, issuer=ISSUER)


def release(
    clips: ClipStore,
    film: Path,
    folder: Path,
    chain: Chain,
    seed: int,
    *,
    state: ClipState = ClipState.RELEASED,
) -> tuple[ClipId, str, Path]:
    """A signed clip in the store, its manifest's label and its file."""
    clip_id = clips.reserve(kind="generated", intent_id="intent")
    target = folder / f"{clip_id.id:010x}.mp4"
    binding = SoftBinding(value=resolution.binding_value(clip_id))
    made = sign(film, target, content_of(clip_id=str(clip_id), soft_binding=binding), FileKeySigner.of(chain))
    clips.record(
        clip_id,
        state=state,
        file_sha256=f"{seed:064x}",
        manifest_label=made.label,
        manifest_store=made.store,
        fingerprint=hashes(seed),
        seconds=3.0,
        size=(64, 64),
    )
    return clip_id, made.label, target


def test_a_stripped_clip_finds_its_credentials_again(
    clips: ClipStore, film: Path, tmp_path: Path, ours: Chain, trust: Trust
) -> None:
    clip_id, label, path = release(clips, film, tmp_path, ours, 1)
    stripped = remux(path, tmp_path / "stripped.mp4")
    assert read(stripped, trust).state is State.NO_MANIFEST
    (found,) = resolution.match_content(clips, hashes(1), number=clip_id.id)
    assert (found.manifest_id, found.similarity) == (label, 100)
    store = resolution.manifest(clips, found.manifest_id)
    assert store is not None
    binding = SoftBindingClaim(algorithm=ALG, value=resolution.binding_value(clip_id))
    assert recover(stripped, store, trust, binding=binding, fingerprint_matches=True).state is State.RECOVERED


def test_by_binding(clips: ClipStore, film: Path, tmp_path: Path, ours: Chain) -> None:
    clip_id, label, _ = release(clips, film, tmp_path, ours, 1)
    release(clips, film, tmp_path, ours, 2)
    value = encoded(resolution.binding_value(clip_id))
    for form in (value, value.replace("+", "-").replace("/", "_"), value.rstrip("=")):
        assert resolution.match_binding(clips, alg=ALG, value=form) == (resolution.Match(manifest_id=label),)
    reply = resolution.matches_json(resolution.match_binding(clips, alg=ALG, value=value))
    assert reply == {"matches": [{"manifestId": label}]}


@pytest.mark.parametrize(
    "text", ["gs1.0a1b2c3d0000000000", "gs1.ffffffff0000000000", "gs1.", "other", "gs1.zz"]
)
def test_no_match_is_an_empty_list(clips: ClipStore, text: str) -> None:
    assert resolution.matches_json(resolution.match_binding(clips, alg=ALG, value=encoded(text))) == {
        "matches": []
    }


@pytest.mark.parametrize("value", ["", "***", "x" * 5000, "\u00e4", encoded("ok")[:-1] + "!", "/////w=="])
def test_values_that_are_no_base64_text(clips: ClipStore, value: str) -> None:
    with pytest.raises(UsageError, match="base64"):
        resolution.match_binding(clips, alg=ALG, value=value)


def test_other_algorithms_and_limits(clips: ClipStore) -> None:
    with pytest.raises(UsageError, match=ALG):
        resolution.match_binding(clips, alg="com.adobe.trustmark.P", value=encoded("x"))
    with pytest.raises(UsageError, match=ALG):
        resolution.match_content(clips, (), alg="com.adobe.trustmark.P")
    with pytest.raises(UsageError, match="maxResults"):
        resolution.match_content(clips, (), max_results=0)


def test_held_and_withdrawn_clips_are_not_public(
    clips: ClipStore, film: Path, tmp_path: Path, ours: Chain
) -> None:
    for seed, state in ((3, ClipState.HELD), (4, ClipState.WITHDRAWN), (5, ClipState.RESERVED)):
        clip_id, label, _ = release(clips, film, tmp_path, ours, seed, state=state)
        value = encoded(resolution.binding_value(clip_id))
        assert resolution.match_binding(clips, alg=ALG, value=value) == ()
        assert resolution.match_content(clips, hashes(seed), number=clip_id.id) == ()
        assert resolution.manifest(clips, label) is None


def test_a_mark_on_other_content_finds_nothing(
    clips: ClipStore, film: Path, tmp_path: Path, ours: Chain
) -> None:
    clip_id, _, _ = release(clips, film, tmp_path, ours, 6)
    assert resolution.match_content(clips, hashes(99), number=clip_id.id) == ()
    assert resolution.match_content(clips, (), number=clip_id.id) == ()


def test_content_alone_ranks_by_likeness(clips: ClipStore, film: Path, tmp_path: Path, ours: Chain) -> None:
    _, first, _ = release(clips, film, tmp_path, ours, 7)
    _, second, _ = release(clips, film, tmp_path, ours, 8)
    mixed = (*hashes(7)[:2], *hashes(8))
    found = resolution.match_content(clips, mixed)
    assert [item.manifest_id for item in found] == [second]
    assert resolution.match_content(clips, hashes(7), max_results=1)[0].manifest_id == first


def test_a_manifest_that_does_not_name_the_mark_is_not_given(
    clips: ClipStore, film: Path, tmp_path: Path, ours: Chain
) -> None:
    clip_id = clips.reserve(kind="generated", intent_id="intent")
    made = sign(
        film,
        tmp_path / "other.mp4",
        content_of(clip_id=str(clip_id), soft_binding=SoftBinding(value="gs1.0a1b2c3d0000000001")),
        FileKeySigner.of(ours),
    )
    clips.record(
        clip_id,
        state=ClipState.RELEASED,
        file_sha256="ab" * 32,
        manifest_label=made.label,
        manifest_store=made.store,
        fingerprint=hashes(9),
        seconds=3.0,
        size=(64, 64),
    )
    value = encoded(resolution.binding_value(clip_id))
    assert resolution.match_binding(clips, alg=ALG, value=value) == ()


@pytest.mark.parametrize(
    "label", ["", "x", "urn:c2pa:none", "../../etc/passwd", "urn:" + "x" * 500, "urn:'--"]
)
def test_unknown_manifests(clips: ClipStore, label: str) -> None:
    assert resolution.manifest(clips, label) is None


def test_the_newest_manifest_alone(
    clips: ClipStore, film: Path, signed: Path, tmp_path: Path, ours: Chain
) -> None:
    parent = Ingredient(path=signed, relationship="parentOf", title="Source")
    content = content_of(edit=True, source_type=COMPOSITE_WITH_TRAINED, ingredients=(parent,))
    made = sign(film, tmp_path / "edit.mp4", content, FileKeySigner.of(ours))
    alone = active_only(made.store)
    assert len(alone) < len(made.store)
    assert describe(alone) == describe(made.store)
    assert describe(made.store).label == made.label
    clip_id, label, _ = release(clips, film, tmp_path, ours, 10)
    whole = resolution.manifest(clips, label)
    assert whole is not None and describe(whole).clip_id == str(clip_id)
    assert resolution.manifest(clips, label, return_active_manifest=True) == whole  # it has only one


def test_junk_is_no_store() -> None:
    for junk in (b"", b"junk", bytes(64)):
        with pytest.raises(ProvenanceError):
            describe(junk)
        with pytest.raises(ProvenanceError):
            active_only(junk)


def test_the_documents() -> None:
    assert resolution.supported_algorithms() == {"watermarks": [{"alg": ALG}], "fingerprints": []}
    found = resolution.discovery("https://api.example.org/")
    assert found["apiEndpoint"] == "https://api.example.org"
    assert found["capabilitiesEndpoint"] == "https://api.example.org/services/capabilities"
    assert resolution.capabilities()["supportedCapabilities"] == ["queryByContent"]
