"""Attacks on whoever reads credentials: each row has its state, none opens a connection or costs much."""

from __future__ import annotations

import json
import random
import socket
import struct
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from PIL import Image

from guarded_sora.errors import MediaError, ProvenanceError
from guarded_sora.provenance.credentials.certificates import (
    Chain,
    Issuer,
    issue_leaf,
    key_to_pem,
    load_certificates,
    load_key,
    to_pem,
)
from guarded_sora.provenance.credentials.container import C2PA_UUID, inspect
from guarded_sora.provenance.credentials.library import open_context
from guarded_sora.provenance.credentials.manifest import Ingredient, build_definition
from guarded_sora.provenance.credentials.read import read
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner, open_signer
from guarded_sora.provenance.credentials.states import Credentials, State
from guarded_sora.provenance.credentials.store_guard import embedded_store, is_malformed
from guarded_sora.provenance.credentials.trust import Trust
from tests.guarded_sora.provenance.credentials.conftest import content_of, encode

REFUSED = (State.REJECTED_BY_GUARD, State.UNSUPPORTED)
BELIEVED = (State.TRUSTED, State.VALID_UNKNOWN_SIGNER, State.TRUSTED_WITH_BAD_INGREDIENT)


def box(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def top_level(data: bytes) -> list[tuple[bytes, int, int]]:
    found, position = [], 0
    while position < len(data):
        length = struct.unpack(">I", data[position : position + 4])[0]
        found.append((data[position + 4 : position + 8], position, position + length))
        position += length
    return found


def store_box(data: bytes) -> bytes:
    return next(
        data[a:b] for name, a, b in top_level(data) if name == b"uuid" and data[a + 8 : a + 24] == C2PA_UUID
    )


def appended(data: bytes, tail: bytes) -> bytes:
    return data + tail


def flipped(data: bytes, pattern: bytes, offset: int = 0, last: bool = False) -> bytes:
    changed = bytearray(data)
    position = changed.rfind(pattern) if last else changed.find(pattern)
    assert position >= 0
    changed[position + offset] ^= 1
    return bytes(changed)


ATTACKS: dict[str, tuple[Callable[[bytes], bytes], State, str]] = {
    "film bit": (lambda d: flipped(d, b"mdat", 99), State.TAMPERED, "bmffHash.mismatch"),
    "index bit": (lambda d: flipped(d, b"stsz", 20), State.TAMPERED, "bmffHash.mismatch"),
    "extra uuid box": (lambda d: appended(d, box(b"uuid", bytes(24))), State.TAMPERED, "bmffHash.mismatch"),
    "free box appended": (
        lambda d: appended(d, box(b"free", b"hidden")),
        State.TAMPERED,
        "bmffHash.mismatch",
    ),
    "skip box appended": (
        lambda d: appended(d, box(b"skip", b"hidden")),
        State.TAMPERED,
        "bmffHash.mismatch",
    ),
    "trailing text": (lambda d: appended(d, b"more words here"), State.REJECTED_BY_GUARD, "guard.bad_size"),
    "trailing bytes": (lambda d: appended(d, b"xyz"), State.REJECTED_BY_GUARD, "guard.trailing_data"),
    "text of an assertion": (lambda d: flipped(d, b"prompt_guided", 3), State.TAMPERED, "hashedURI.mismatch"),
    "clip id": (lambda d: flipped(d, b"00112233ff", 2), State.TAMPERED, "hashedURI.mismatch"),
    "two stores": (lambda d: d + store_box(d), State.INVALID_MANIFEST, "library.Manifest"),
    "cut in the store": (lambda d: d[:900], State.REJECTED_BY_GUARD, "guard.bad_size"),
    "many boxes": (lambda d: d + box(b"free") * 25_000, State.REJECTED_BY_GUARD, "guard.too_many_boxes"),
    "many boxes inside": (
        lambda d: d + box(b"moov", box(b"trak") * 25_000),
        State.REJECTED_BY_GUARD,
        "guard.too_many_boxes",
    ),
    "huge box": (
        lambda d: d + struct.pack(">I4sQ", 1, b"mdat", 1 << 62),
        State.REJECTED_BY_GUARD,
        "guard.bad_size",
    ),
    "4 GB uuid box": (
        lambda d: d + struct.pack(">I4s", 0xFFFFFFFF, b"uuid") + C2PA_UUID,
        State.REJECTED_BY_GUARD,
        "guard.bad_size",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str, signed: Path, tmp_path: Path, trust: Trust, no_network: list[str]) -> None:
    change, state, code = ATTACKS[name]
    (tmp_path / "a.mp4").write_bytes(change(signed.read_bytes()))
    found = read(tmp_path / "a.mp4", trust)
    assert found.state is state
    assert any(entry.endswith(code) for entry in found.codes), found.codes
    assert found.issuer == ""


def test_nested_boxes_cost_nothing(signed: Path, tmp_path: Path, trust: Trust) -> None:
    count = 20_000
    nest = b"".join(struct.pack(">I4s", 8 * (count - index), b"moov") for index in range(count))
    (tmp_path / "n.mp4").write_bytes(signed.read_bytes() + nest)
    tracemalloc.start()
    found = read(tmp_path / "n.mp4", trust)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.codes == ("guard.too_deep",)
    assert peak < 1 << 20


def test_huge_sparse_film_is_not_hashed(tmp_path: Path, trust: Trust) -> None:
    path = tmp_path / "sparse.mp4"
    with open(path, "wb") as stream:
        stream.write(box(b"ftyp", b"isom" + bytes(4)) + struct.pack(">I4sQ", 1, b"mdat", 20 << 30))
        stream.truncate(20 << 30)
    assert read(path, trust).codes == ("guard.too_large",)


def test_brand_change_stays_within_the_standard(signed: Path, tmp_path: Path, trust: Trust) -> None:
    """The specification leaves the first box out of the hash: a known and harmless channel."""
    data = signed.read_bytes().replace(b"isom\x00\x00\x02\x00", b"isom\x00\x00\x03\x00", 1)
    (tmp_path / "b.mp4").write_bytes(data)
    assert read(tmp_path / "b.mp4", trust).state is State.TRUSTED


def test_wrong_file_name_does_not_matter(signed: Path, tmp_path: Path, trust: Trust) -> None:
    for name in ("film.png", "film.webm", "film"):
        (tmp_path / name).write_bytes(signed.read_bytes())
        assert read(tmp_path / name, trust).state is State.TRUSTED


def leaf_for(issuer_of: Chain, purposes: list[x509.ObjectIdentifier]) -> FileKeySigner:
    """A leaf with any purposes under a chain's intermediate: what a careless authority might issue."""
    middle = load_certificates(issuer_of.chain_pem)[1]
    issuer = Issuer(certificate=middle, key=load_key(issuer_of.authority_key_pem))
    plain = issue_leaf("Careless", issuer, now=datetime.now(UTC))
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(plain.certificate.subject)
        .issuer_name(middle.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(plain.certificate.not_valid_before_utc)
        .not_valid_after(plain.certificate.not_valid_after_utc)
    )
    for extension in plain.certificate.extensions:
        value = extension.value
        if isinstance(value, x509.SubjectKeyIdentifier):
            value = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        if isinstance(value, x509.ExtendedKeyUsage):
            if not purposes:
                continue
            value = x509.ExtendedKeyUsage(purposes)
        builder = builder.add_extension(value, critical=extension.critical)
    certificate = builder.sign(issuer.key, hashes.SHA256())
    return FileKeySigner(chain_pem=to_pem(certificate) + to_pem(middle), key_pem=key_to_pem(key))


@pytest.mark.parametrize("purpose", [ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.OCSP_SIGNING])
def test_leaf_for_another_purpose_under_a_claim_root(
    purpose: x509.ObjectIdentifier, film: Path, tmp_path: Path, ours: Chain, listed: Chain, trust: Trust
) -> None:
    """The library calls it trusted; a certificate that vouches for time or status signs no claims."""
    for chain in (ours, listed):
        sign(film, tmp_path / "w.mp4", content_of(), leaf_for(chain, [purpose]))
        found = read(tmp_path / "w.mp4", trust)
        assert found.state is State.VALID_UNKNOWN_SIGNER
        assert not found.ours and found.issuer == "" and "trust.wrong_purpose" in found.codes


@pytest.mark.parametrize(
    "purposes",
    [
        [ExtendedKeyUsageOID.CODE_SIGNING],
        [ExtendedKeyUsageOID.SERVER_AUTH],
        [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE],
        [],
    ],
)
def test_leaf_that_may_not_sign_claims(
    purposes: list[x509.ObjectIdentifier], film: Path, tmp_path: Path, ours: Chain
) -> None:
    with pytest.raises(ProvenanceError):
        sign(film, tmp_path / "w.mp4", content_of(), leaf_for(ours, purposes))
    assert not (tmp_path / "w.mp4").exists()


def test_authority_that_signs_by_itself(film: Path, tmp_path: Path, ours: Chain) -> None:
    middle = load_certificates(ours.chain_pem)[1]
    signer = FileKeySigner(chain_pem=to_pem(middle), key_pem=ours.authority_key_pem)
    with pytest.raises(ProvenanceError):
        sign(film, tmp_path / "w.mp4", content_of(), signer)


def remote_film(film: Path, target: Path, signer: FileKeySigner, trust: Trust, url: str) -> None:
    import c2pa

    with (
        open_context(trust) as context,
        open_signer(signer) as native,
        c2pa.Builder(build_definition(content_of(), "video/mp4"), context) as builder,
        open(film, "rb") as source,
        open(target, "w+b") as stream,
    ):
        builder.set_no_embed()
        builder.set_remote_url(url)
        builder.sign(native, "video/mp4", source, stream)


def test_film_that_names_an_address_as_ingredient(
    film: Path, tmp_path: Path, ours: Chain, trust: Trust
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/store.c2pa"
        remote_film(film, tmp_path / "remote.mp4", FileKeySigner.of(ours), trust, url)
        prompt = Ingredient(path=tmp_path / "remote.mp4", relationship="inputTo", title="prompt")
        content = content_of(ingredients=(prompt,))
        try:
            sign(film, tmp_path / "s.mp4", content, FileKeySigner.of(ours), trust=trust)
        except (ProvenanceError, MediaError):
            assert not (tmp_path / "s.mp4").exists()
        with pytest.raises(TimeoutError):  # nobody called
            server.accept()


def test_huge_texts_are_cut(film: Path, tmp_path: Path, stranger: Chain, trust: Trust) -> None:
    import c2pa

    definition = build_definition(content_of(), "video/mp4")
    definition["title"] = "\u202e<script>\x07" + "x" * 100_000
    definition["claim_generator_info"][0]["name"] = "Sora\u2066\u0000 1"
    with (
        open_context(trust) as context,
        open_signer(FileKeySigner.of(stranger)) as native,
        c2pa.Builder(definition, context) as builder,
        open(film, "rb") as source,
        open(tmp_path / "x.mp4", "w+b") as stream,
    ):
        builder.sign(native, "video/mp4", source, stream)
    found = read(tmp_path / "x.mp4", trust)
    assert found.state is State.VALID_UNKNOWN_SIGNER
    assert found.claims.title.startswith("<script>xxx") and len(found.claims.title) == 200
    assert found.claims.generator == "Sora 1"


def test_one_bit_of_the_signature(signed: Path, tmp_path: Path, trust: Trust) -> None:
    """Bits of the certificate chain and of the signature: never believed as ours, whatever else."""
    data = signed.read_bytes()
    for offset in range(40, 1400, 37):
        (tmp_path / "s.mp4").write_bytes(flipped(data, b"c2pa.signature", offset))
        found = read(tmp_path / "s.mp4", trust)
        assert found.state in (State.TAMPERED, State.INVALID_MANIFEST, State.VALID_UNKNOWN_SIGNER), offset
        assert not (found.ours and found.state in BELIEVED)


def library_says(path: Path, trust: Trust) -> str:
    """The bare library's word on a file, without any of our code around it but its settings."""
    import c2pa

    try:
        with (
            open_context(trust) as context,
            open(path, "rb") as stream,
            c2pa.Reader("video/mp4", stream, context=context) as reader,
        ):
            return str(json.loads(reader.json()).get("validation_state"))
    except c2pa.C2paError:
        return "raised"


def mutants(data: bytes, count: int, seed: int, headers: list[int] | None = None) -> Any:
    """Bit flips, overwritten, cut, doubled, moved and zeroed runs, and edited box sizes."""
    random_ = random.Random(seed)
    headers = headers or [start for _, start, _ in top_level(data)]
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(random_.choice([1, 1, 2, 8])):
            at, length = random_.randrange(len(mutant)), random_.choice([1, 1, 4, 64])
            kind = random_.randrange(7)
            if kind == 0:
                mutant[at] ^= 1 << random_.randrange(8)
            elif kind == 1:
                mutant[at : at + length] = random_.randbytes(length)
            elif kind == 2:
                del mutant[at : at + length]
            elif kind == 3:
                mutant[at:at] = mutant[at : at + length]
            elif kind == 4:
                mutant[at : at + length] = bytes(length)
            elif kind == 5:
                header = random_.choice(headers)
                mutant[header : header + 4] = struct.pack(
                    ">I", random_.choice([0, 1, 7, 8, 2**31, 2**32 - 1])
                )
            else:
                mutant = mutant[: max(16, at)]
        yield bytes(mutant)


def examine(data: bytes, tmp_path: Path, trust: Trust, count: int, seed: int) -> dict[State, int]:
    seen: dict[State, int] = {}
    path = tmp_path / "m.mp4"
    for mutant in mutants(data, count, seed):
        path.write_bytes(mutant)
        found: Credentials = read(path, trust)
        seen[found.state] = seen.get(found.state, 0) + 1
        if found.state in BELIEVED:
            assert library_says(path, trust) in ("Valid", "Trusted")
        if found.state is State.TRUSTED:
            assert library_says(path, trust) == "Trusted"
        assert (found.state is State.REJECTED_BY_GUARD) == bool(inspect(path).refused)
    return seen


def test_mutated_films(signed: Path, tmp_path: Path, trust: Trust) -> None:
    seen = examine(signed.read_bytes(), tmp_path, trust, 200, seed=1)
    assert seen[State.TAMPERED] > 10 and seen[State.REJECTED_BY_GUARD] > 10
    assert sum(seen.values()) == 200


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "mp4"])
def test_a_wrong_length_in_the_store_never_reaches_the_library(
    suffix: str, tmp_path: Path, ours: Chain, trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library would fill gigabytes for five kilobytes."""
    plain, signed = tmp_path / f"plain.{suffix}", tmp_path / f"signed.{suffix}"
    if suffix == "mp4":
        encode(plain)
    else:
        Image.new("RGB", (48, 32), (10, 200, 90)).save(plain)
    sign(plain, signed, content_of(), FileKeySigner.of(ours), trust=trust)
    whole = embedded_store(signed, inspect(signed))
    assert whole is not None and not is_malformed(whole)
    changed = signed.read_bytes().replace(b"fclipId", b"\x9b\x00\x00\x00\x7f\xff\xff", 1)
    changed = changed.replace(b"gcreated", b"\x5b\x00\x00\x00\x7f\xff\xff\xff", 1)
    signed.write_bytes(changed)
    monkeypatch.setattr("guarded_sora.provenance.credentials.read.open_context", None)  # the way to it
    monkeypatch.setattr("guarded_sora.provenance.credentials.sign.open_context", None)
    found = read(signed, trust)
    assert (found.state, found.codes) == (State.INVALID_MANIFEST, ("guard.malformed_store",))
    prompt = Ingredient(path=signed, relationship="inputTo", title="prompt")
    with pytest.raises(MediaError, match="malformed"):
        sign(plain, tmp_path / "no", content_of(ingredients=(prompt,)), FileKeySigner.of(ours))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "mov", "mkv"])
def test_mutated_files_of_other_kinds(suffix: str, tmp_path: Path, ours: Chain, trust: Trust) -> None:
    plain, signed = tmp_path / f"plain.{suffix}", tmp_path / f"signed.{suffix}"
    if suffix in ("mov", "mkv"):
        encode(plain)
    else:
        Image.new("RGB", (48, 32), (10, 200, 90)).save(plain)
    made = sign(plain, signed, content_of(soft_binding=None), FileKeySigner.of(ours), trust=trust)
    assert read(signed, trust).state is State.TRUSTED
    path, seen = tmp_path / f"mutant.{suffix}", []
    for mutant in mutants(signed.read_bytes(), 60, seed=5, headers=[0]):
        path.write_bytes(mutant)
        seen.append(read(path, trust, sidecar=made.store if made.sidecar else None).state)
    # What the standard leaves out of the hash (padding, the first box) may change; most of a file may not.
    assert sum(state in BELIEVED for state in seen) < 15


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_thousand_mutated_films(signed: Path, tmp_path: Path, trust: Trust) -> None:
    assert sum(examine(signed.read_bytes(), tmp_path, trust, 20_000, seed=2).values()) == 20_000
