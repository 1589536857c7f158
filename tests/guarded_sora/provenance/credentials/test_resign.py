from __future__ import annotations

import ast
from pathlib import Path

import pytest

import guarded_sora
from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials.certificates import Chain
from guarded_sora.provenance.credentials.library import safe_settings
from guarded_sora.provenance.credentials.read import read
from guarded_sora.provenance.credentials.resign import PlatformContent, resign
from guarded_sora.provenance.credentials.rubric import check_file
from guarded_sora.provenance.credentials.self_test import self_test
from guarded_sora.provenance.credentials.signer import FileKeySigner
from guarded_sora.provenance.credentials.states import State
from guarded_sora.provenance.credentials.trust import Trust
from tests.guarded_sora.provenance.credentials.conftest import CLIP_ID, encode, flip, remux


def platform(parent: Path) -> PlatformContent:
    return PlatformContent(
        platform="Example Platform",
        version="7",
        parent=parent,
        handling=("c2pa.transcoded", "c2pa.published"),
    )


def test_the_chain_stays_whole(signed: Path, tmp_path: Path, listed: Chain, trust: Trust) -> None:
    transcoded = encode(tmp_path / "small.mp4", seed=5)
    target = tmp_path / "out.mp4"
    resign(transcoded, target, platform(signed), FileKeySigner.of(listed), trust=trust)
    found = read(target, trust)
    assert (found.state, found.ours, found.issuer) == (State.TRUSTED, False, "Listed Camera Maker")
    assert found.claims.actions == ("c2pa.opened", "c2pa.transcoded", "c2pa.published")
    assert found.claims.clip_id == "" and found.claims.source_type == ""
    (parent,) = found.ingredients
    assert (parent.relationship, parent.ours, parent.clip_id) == ("parentOf", True, CLIP_ID)
    assert found.says_ai is True  # inherited from the parent
    assert [rule.id for rule in check_file(target, trust) if not rule.holds] == []


def test_it_can_be_passed_on_twice(signed: Path, tmp_path: Path, listed: Chain, trust: Trust) -> None:
    first, second = tmp_path / "1.mp4", tmp_path / "2.mp4"
    signer = FileKeySigner.of(listed)
    resign(encode(tmp_path / "a.mp4", seed=5), first, platform(signed), signer, trust=trust)
    resign(encode(tmp_path / "b.mp4", seed=6), second, platform(first), signer, trust=trust)
    found = read(second, trust)
    assert found.state is State.TRUSTED and found.says_ai is True
    assert {item.clip_id for item in found.ingredients} == {"", CLIP_ID}


def test_a_film_that_does_not_hold_is_not_laundered(
    signed: Path, film: Path, tmp_path: Path, listed: Chain, trust: Trust
) -> None:
    transcoded = encode(tmp_path / "small.mp4", seed=5)
    for parent in (flip(signed, tmp_path / "t.mp4"), remux(signed, tmp_path / "r.mp4"), film):
        with pytest.raises(ProvenanceError, match="as received"):
            resign(transcoded, tmp_path / "o.mp4", platform(parent), FileKeySigner.of(listed), trust=trust)
        assert not (tmp_path / "o.mp4").exists()


def test_a_platform_says_who_it_is(tmp_path: Path) -> None:
    with pytest.raises(ProvenanceError, match="platform's name"):
        PlatformContent(platform=" ", version="1", parent=tmp_path)


def test_the_self_test_tells_good_from_bad(ours: Chain, listed: Chain, trust: Trust) -> None:
    assert self_test(FileKeySigner.of(ours), trust).ours
    with pytest.raises(ProvenanceError, match="valid_unknown_signer"):
        self_test(FileKeySigner.of(ours), Trust())
    with pytest.raises(ProvenanceError, match="'trusted'"):
        self_test(FileKeySigner.of(listed), trust)  # trusted, but not ours


def test_the_safe_settings_open_nothing() -> None:
    settings = safe_settings(Trust())
    assert settings["verify"]["remote_manifest_fetch"] is False
    assert settings["verify"]["ocsp_fetch"] is False
    assert settings["core"]["allowed_network_hosts"] == []
    assert settings["core"]["allow_redirects"] is False
    assert settings["builder"]["bmff_hash_exclude_free_and_skip_boxes"] is False
    assert settings["verify"]["verify_after_sign_hash"] is True
    allowed = safe_settings(Trust(ocsp_hosts=("status.example.org",)))
    assert allowed["core"]["allowed_network_hosts"] == ["status.example.org"]
    assert allowed["verify"]["remote_manifest_fetch"] is False


def test_the_library_is_never_opened_without_our_context() -> None:
    """A ``Reader`` or ``Builder`` without a context would fetch addresses from hostile files."""
    seen = 0
    for path in Path(guarded_sora.__file__).parent.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if "c2pa." not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value
            if not isinstance(owner, ast.Name) or owner.id != "c2pa":
                continue
            name = node.func.attr
            assert name not in ("load_settings", "read_file", "sign_file", "Settings"), path
            if name in ("Reader", "Builder"):
                seen += 1
                given = [item.arg for item in node.keywords] + [
                    item.id for item in node.args if isinstance(item, ast.Name)
                ]
                assert "context" in given, f"{path}:{node.lineno}"
    assert seen >= 2
