"""The small parsers behind the signer check: they must answer or refuse, never hang or overrun."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from guarded_sora.errors import ProvenanceError
from guarded_sora.provenance.credentials import cbor
from guarded_sora.provenance.credentials.certificates import Chain
from guarded_sora.provenance.credentials.cleaning import clean_text
from guarded_sora.provenance.credentials.container import inspect
from guarded_sora.provenance.credentials.jumbf import active_label, parse_store
from guarded_sora.provenance.credentials.signatures import read_signers
from guarded_sora.provenance.credentials.trust import Trust


def store_of(signed: Path) -> bytes:
    span = inspect(signed).store_span
    assert span is not None
    return signed.read_bytes()[span[0] : span[0] + span[1]]


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("00", 0),
        ("1903e8", 1000),
        ("1bffffffffffffffff", 2**64 - 1),
        ("3903e7", -1000),
        ("4401020304", b"\x01\x02\x03\x04"),
        ("6449455446", "IETF"),
        ("83010203", [1, 2, 3]),
        ("a201020304", {1: 2, 3: 4}),
        ("f5", True),
        ("f6", None),
        ("f93c00", 1.0),
        ("d2820102", [1, 2]),
        ("9f0102ff", [1, 2]),
        ("bf0102ff", {1: 2}),
        ("5f42010243030405ff", b"\x01\x02\x03\x04\x05"),
    ],
)
def test_cbor_examples_of_the_standard(data: str, value: object) -> None:
    """RFC 8949, appendix A."""
    assert cbor.decode(bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    "data",
    [
        "",
        "18",
        "5b7fffffffffffffff",
        "9b7fffffffffffffff",
        "81" * 40,
        "9f",
        "a1810000",
        "fc",
        "1c",
        "bf01ff",
        "a201020103",
    ],
)
def test_cbor_refuses(data: str) -> None:
    with pytest.raises(ValueError):
        cbor.decode(bytes.fromhex(data))


def test_the_signer_is_found_in_the_store(signed: Path, ours: Chain, listed: Chain) -> None:
    store = store_of(signed)
    label = active_label(store)
    assert read_signers(store, Trust(own_root_pem=ours.root_pem))[label].anchor == "own"
    assert read_signers(store, Trust(claim_anchors_pem=ours.root_pem))[label].anchor == "claim"
    assert read_signers(store, Trust(own_root_pem=listed.root_pem))[label].anchor == "none"
    assert read_signers(store, Trust())[label].organisation == "Alpha Studio"


def test_mutated_stores_never_raise_anything_else(signed: Path, trust: Trust) -> None:
    store = store_of(signed)
    random_ = random.Random(7)
    for _ in range(400):
        data = bytearray(store)
        for _ in range(random_.randint(1, 6)):
            data[random_.randrange(len(data))] = random_.randrange(256)
        cut = bytes(data[: random_.choice([len(data), random_.randrange(len(data))])])
        assert isinstance(read_signers(cut, trust), dict)
        with contextlib.suppress(ProvenanceError):
            parse_store(cut)


def test_text_of_strangers() -> None:
    assert clean_text("plain") == "plain"
    assert clean_text("a\u202eb\u200fc\x1b[31m\x00d\ufeff") == "abc[31md"
    assert clean_text("two\r\nlines\tand\u2028more") == "two lines and more"
    assert clean_text("\ud800x") == "x"
    assert clean_text("x" * 5_000_000, limit=10) == "x" * 9 + "\u2026"
    assert clean_text(None) == "" and clean_text(7) == ""
