from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from guarded_sora.errors import MediaError
from guarded_sora.provenance.credentials.certificates import Chain
from guarded_sora.provenance.credentials.manifest import COMPOSITE_WITH_TRAINED, IPTC, Ingredient, SoftBinding
from guarded_sora.provenance.credentials.read import read
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner
from guarded_sora.provenance.credentials.states import State
from guarded_sora.provenance.credentials.trust import Trust, revoke
from tests.guarded_sora.provenance.credentials.conftest import (
    CLIP_ID,
    content_of,
    encode,
    flip,
    remux,
    sign_briefly,
    wait_for,
)

SignAs = Callable[..., Path]


def test_intact_clip_is_trusted_and_ours(signed: Path, trust: Trust, no_network: list[str]) -> None:
    found = read(signed, trust)
    assert found.state is State.TRUSTED
    assert found.ours
    assert found.codes == ()
    assert found.says_ai is True
    assert found.issuer == "Alpha Studio"
    assert found.label.startswith("urn:c2pa:") and found.label.endswith(":guardedsora")
    assert found.claims.clip_id == CLIP_ID
    assert found.claims.source_type == IPTC + "trainedAlgorithmicMedia"
    assert [(b.algorithm, b.value) for b in found.claims.soft_bindings] == [
        ("org.guardedsora.keyseal.1", "gs1.00112233ff")
    ]
    assert found.claims.actions == ("c2pa.created", "c2pa.watermarked.bound")
    assert (found.claims.model, found.claims.model_version) == ("sprites", "1.2")


@pytest.mark.parametrize("box", [b"mdat", b"mvhd"])
def test_one_changed_bit_is_tampering(signed: Path, tmp_path: Path, trust: Trust, box: bytes) -> None:
    found = read(flip(signed, tmp_path / "t.mp4", box=box, offset=20), trust)
    assert found.state is State.TAMPERED
    assert "assertion.bmffHash.mismatch" in found.codes
    assert found.issuer == ""
    assert found.ours  # the claim is still ours; only the content is not what was claimed


def test_remuxed_clip_has_no_manifest(signed: Path, tmp_path: Path, trust: Trust) -> None:
    found = read(remux(signed, tmp_path / "r.mp4"), trust)
    assert found.state is State.NO_MANIFEST
    assert not found.ours and found.says_ai is None


def test_unknown_signer_is_valid_but_nameless(sign_as: SignAs, stranger: Chain, trust: Trust) -> None:
    found = read(sign_as(stranger), trust)
    assert found.state is State.VALID_UNKNOWN_SIGNER
    assert found.issuer == ""
    assert not found.ours
    assert found.says_ai is True


def test_unknown_signer_with_a_changed_bit_is_tampered(
    sign_as: SignAs, stranger: Chain, tmp_path: Path, trust: Trust
) -> None:
    found = read(flip(sign_as(stranger), tmp_path / "t.mp4"), trust)
    assert found.state is State.TAMPERED
    assert not found.ours


def test_listed_signer_is_trusted_but_not_ours(sign_as: SignAs, listed: Chain, trust: Trust) -> None:
    found = read(sign_as(listed), trust)
    assert found.state is State.TRUSTED
    assert found.issuer == "Listed Camera Maker"
    assert not found.ours


def test_credentials_of_another_film_are_tampering(signed: Path, tmp_path: Path, trust: Trust) -> None:
    data = signed.read_bytes()
    end = 0
    while data[end + 4 : end + 8] != b"uuid":
        end += struct.unpack(">I", data[end : end + 4])[0]
    box = data[end : end + struct.unpack(">I", data[end : end + 4])[0]]
    other = encode(tmp_path / "other.mp4", seed=9).read_bytes()
    first = struct.unpack(">I", other[:4])[0]
    (tmp_path / "moved.mp4").write_bytes(other[:first] + box + other[first:])
    assert read(tmp_path / "moved.mp4", trust).state is State.TAMPERED


def test_own_revocation_list(signed: Path, ours: Chain) -> None:
    trust = Trust(own_root_pem=ours.root_pem, revoked=(revoke(ours.chain_pem, reason="key lost"),))
    found = read(signed, trust)
    assert found.state is State.REVOKED
    assert "trust.revoked" in found.codes
    assert found.issuer == ""


def test_expired_is_told_apart_from_tampered_and_stays_ours(
    film: Path, tmp_path: Path, ours: Chain, trust: Trust
) -> None:
    path = tmp_path / "e.mp4"
    sign_briefly(ours, lambda chain: sign(film, path, content_of(), FileKeySigner.of(chain), trust=trust))
    wait_for(lambda: read(path, trust).state is not State.TRUSTED)
    found = read(path, trust)
    assert found.state is State.EXPIRED_NO_TIMESTAMP
    assert found.ours
    assert found.issuer == ""


def test_timestamp_anchors_never_make_a_signer_trusted(signed: Path, ours: Chain) -> None:
    found = read(signed, Trust(tsa_anchors_pem=ours.root_pem))
    assert found.state is State.VALID_UNKNOWN_SIGNER
    assert not found.ours


def test_timestamp_anchor_with_our_film_as_ingredient_is_not_trusted(
    signed: Path, film: Path, tmp_path: Path, ours: Chain, stranger: Chain
) -> None:
    """The library then names OUR list as the one that matched: the signer of the ingredient."""
    trust = Trust(own_root_pem=ours.root_pem, tsa_anchors_pem=stranger.root_pem)
    parent = Ingredient(path=signed, relationship="parentOf", title="Source")
    made = content_of(edit=True, source_type=COMPOSITE_WITH_TRAINED, ingredients=(parent,))
    sign(film, tmp_path / "t.mp4", made, FileKeySigner.of(stranger), trust=trust)
    found = read(tmp_path / "t.mp4", trust)
    assert found.state is State.VALID_UNKNOWN_SIGNER
    assert not found.ours
    assert found.ingredients[0].ours


def test_platform_resigns_our_film_with_it_as_parent(
    signed: Path, tmp_path: Path, listed: Chain, trust: Trust
) -> None:
    parent = Ingredient(path=signed, relationship="parentOf", title="Source")
    made = content_of(
        clip_id="", edit=True, source_type=IPTC + "humanEdits", ingredients=(parent,), soft_binding=None
    )
    transcoded = encode(tmp_path / "transcoded.mp4", seed=4)
    sign(transcoded, tmp_path / "p.mp4", made, FileKeySigner.of(listed), trust=trust)
    found = read(tmp_path / "p.mp4", trust)
    assert found.state is State.TRUSTED
    assert not found.ours
    assert found.claims.clip_id == ""
    assert [(i.relationship, i.ours, i.clip_id, i.failures) for i in found.ingredients] == [
        ("parentOf", True, CLIP_ID, ())
    ]
    assert found.says_ai is True  # the parent says so


def test_tampered_ingredient_is_flagged(
    signed: Path, film: Path, tmp_path: Path, listed: Chain, trust: Trust
) -> None:
    bad = flip(signed, tmp_path / "bad.mp4")
    parent = Ingredient(path=bad, relationship="parentOf", title="Source")
    made = content_of(edit=True, source_type=COMPOSITE_WITH_TRAINED, ingredients=(parent,))
    sign(film, tmp_path / "p.mp4", made, FileKeySigner.of(listed), trust=trust)
    found = read(tmp_path / "p.mp4", trust)
    assert found.state is State.TRUSTED_WITH_BAD_INGREDIENT
    assert found.ingredients[0].failures == ("assertion.bmffHash.mismatch",)
    assert not found.ingredients[0].ours


def test_texts_of_strangers_are_cleaned(sign_as: SignAs, stranger: Chain, trust: Trust) -> None:
    # Our own writer cleans as well, so the hostile text goes in where it does not: the soft binding's value.
    path = sign_as(stranger, soft_binding=SoftBinding(value="gs1.\u202eabc\u0007<b>"))
    found = read(path, trust)
    assert found.claims.soft_bindings[0].value == "gs1.abc<b>"


@pytest.mark.parametrize(
    ("name", "data", "state", "code"),
    [
        ("text.mp4", b"this is no film", State.UNSUPPORTED, None),
        ("empty.mp4", b"", State.REJECTED_BY_GUARD, "guard.empty"),
        ("zeros.mp4", bytes(4096), State.UNSUPPORTED, None),
    ],
)
def test_files_that_are_no_film(
    tmp_path: Path, trust: Trust, name: str, data: bytes, state: State, code: str | None
) -> None:
    (tmp_path / name).write_bytes(data)
    found = read(tmp_path / name, trust)
    assert found.state is state
    assert found.reason
    assert code is None or code in found.codes


def test_truncated_film_is_refused(signed: Path, tmp_path: Path, trust: Trust) -> None:
    data = signed.read_bytes()
    for cut in (9, 40, 500, len(data) // 2, len(data) - 3):
        (tmp_path / "cut.mp4").write_bytes(data[:cut])
        found = read(tmp_path / "cut.mp4", trust)
        assert found.state in (State.REJECTED_BY_GUARD, State.INVALID_MANIFEST, State.TAMPERED), cut


def test_missing_file_and_folder_raise_a_clear_error(tmp_path: Path, trust: Trust) -> None:
    for path in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(MediaError, match="cannot be read"):
            read(path, trust)


def test_sidecar_beside_matroska(film: Path, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    clip = remux(film, tmp_path / "clip.mkv")
    assert read(clip, trust).state is State.UNSUPPORTED
    made = sign(clip, tmp_path / "signed.mkv", content_of(), FileKeySigner.of(ours), trust=trust)
    assert made.sidecar == tmp_path / "signed.mkv.c2pa"
    found = read(tmp_path / "signed.mkv", trust)
    assert found.state is State.TRUSTED and found.ours and not found.embedded
    flipped = bytearray((tmp_path / "signed.mkv").read_bytes())
    flipped[-40] ^= 1
    (tmp_path / "signed.mkv").write_bytes(flipped)
    assert read(tmp_path / "signed.mkv", trust).state is State.TAMPERED
    (tmp_path / "signed.mkv.c2pa").write_bytes(b"junk")
    assert read(tmp_path / "signed.mkv", trust).state is State.INVALID_MANIFEST


def test_result_and_arguments_travel_between_processes(signed: Path, trust: Trust) -> None:
    path, there = pickle.loads(pickle.dumps((signed, trust)))
    found = read(path, there)
    assert pickle.loads(pickle.dumps(found)) == found


def test_remote_manifest_is_not_fetched(film: Path, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    import c2pa

    from guarded_sora.provenance.credentials.library import open_context
    from guarded_sora.provenance.credentials.manifest import build_definition
    from guarded_sora.provenance.credentials.signer import open_signer

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        port = server.getsockname()[1]
        with (
            open_context(trust) as context,
            open_signer(FileKeySigner.of(ours)) as signer,
            c2pa.Builder(build_definition(content_of(), "video/mp4"), context) as builder,
            open(film, "rb") as source,
            open(tmp_path / "remote.mp4", "w+b") as target,
        ):
            builder.set_no_embed()
            builder.set_remote_url(f"http://127.0.0.1:{port}/store.c2pa")
            builder.sign(signer, "video/mp4", source, target)
        found = read(tmp_path / "remote.mp4", trust)
        assert found.state is State.REMOTE_NOT_FETCHED
        with pytest.raises(TimeoutError):  # nobody called
            server.accept()
