import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from guarded_sora.audit.checkpoint import Signer, open_note, parse_vkey, read_note
from guarded_sora.audit.errors import EntryInvalid, ProofInvalid
from guarded_sora.audit.verifier import CheckFailed, check_checkpoint

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
SIGNER = Signer("example.org/log", KEY)


def test_a_note_opens_with_its_key_and_no_other():
    made = SIGNER.sign(17, bytes(range(32)))
    assert open_note(made.note, SIGNER.vkey) == made == read_note(made.note)
    tree = check_checkpoint(made.note, SIGNER.vkey)
    assert (tree.origin, tree.size, tree.root) == ("example.org/log", 17, made.root)
    stranger = Signer("example.org/log", Ed25519PrivateKey.generate())
    with pytest.raises(ProofInvalid):
        open_note(made.note, stranger.vkey)
    with pytest.raises(CheckFailed):
        check_checkpoint(made.note, stranger.vkey)


def test_the_note_has_the_published_form():
    lines = SIGNER.sign(5, bytes(32)).note.split("\n")
    assert lines[:4] == ["example.org/log", "5", base64.b64encode(bytes(32)).decode(), ""]
    assert lines[4].startswith("\u2014 example.org/log ") and lines[5] == ""
    assert len(base64.b64decode(lines[4].split(" ")[2])) == 4 + 64


def test_other_signatures_beside_ours_are_ignored():
    note = SIGNER.sign(5, bytes(32)).note
    other = base64.b64encode(b"abcd" + bytes(72)).decode()
    both = f"{note}\u2014 witness.example {other}\n"
    assert open_note(both, SIGNER.vkey).size == 5
    assert check_checkpoint(both, SIGNER.vkey).size == 5


def test_every_changed_character_is_noticed():
    note = SIGNER.sign(1234, bytes(range(32))).note
    for at in range(note.index("\n\n")):
        changed = note[:at] + ("x" if note[at] != "x" else "y") + note[at + 1 :]
        with pytest.raises(ProofInvalid):
            open_note(changed, SIGNER.vkey)
        with pytest.raises(CheckFailed):
            check_checkpoint(changed, SIGNER.vkey)


@pytest.mark.parametrize(
    "note", ["", "\n\n", "a\n1\n\n", "a\n01\nAAAA\n\n\u2014 a b\n", "\u2014 x y\n", "a\n-1\nx\n\n"]
)
def test_broken_notes(note):
    with pytest.raises(ProofInvalid):
        open_note(note, SIGNER.vkey)
    with pytest.raises(CheckFailed):
        check_checkpoint(note, SIGNER.vkey)


@pytest.mark.parametrize(
    "key", ["", "a+b", "a+00000000+AAAA", "a+zz+!!", SIGNER.vkey[:-4], "x" + SIGNER.vkey]
)
def test_broken_keys(key):
    with pytest.raises(ProofInvalid):
        parse_vkey(key)
    with pytest.raises(CheckFailed):
        check_checkpoint(SIGNER.sign(1, bytes(32)).note, key)


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "umlaut-ü", "line\nbreak", "x" * 201])
def test_origins_that_would_break_the_format(origin):
    with pytest.raises(EntryInvalid):
        Signer(origin, KEY)
