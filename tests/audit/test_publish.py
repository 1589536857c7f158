import base64
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text

from guarded_sora.audit.errors import FileFailed, ProofInvalid
from guarded_sora.audit.publish import FilePublisher, HttpPublisher, Witness
from guarded_sora.audit.verifier import CheckFailed, SignedTree, check_checkpoint, check_consistency
from tests.audit.conftest import some


class FakeWitness:
    """A witness in memory that checks what it is sent, as the protocol asks."""

    name = "witness.example/one"

    def __init__(self, log_key):
        self.key = Ed25519PrivateKey.from_private_bytes(bytes(32))
        raw = b"\x04" + self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        self.vkey = f"{self.name}+{self.id.hex()}+{base64.b64encode(raw).decode()}"
        self.log_key = log_key
        self.seen = SignedTree("example.org/guarded-sora-test", 0, b"")
        self.asked = 0

    def post(self, url, body):
        self.asked += 1
        assert url.endswith("/add-checkpoint")
        head, _, note = body.decode().partition("\n\n")
        first, *lines = head.split("\n")
        old = int(first.removeprefix("old "))
        if old != self.seen.size:
            return 409, "text/x.tlog.size", f"{self.seen.size}\n"
        try:
            new = check_checkpoint(note, self.log_key)
        except CheckFailed:
            return 403, "text/plain", ""
        try:
            check_consistency(self.seen, new, [base64.b64decode(line) for line in lines])
        except CheckFailed:
            return 422, "text/plain", ""
        self.seen = new
        signed = f"cosignature/v1\ntime 1700000000\n{note.split(chr(10) * 2)[0]}\n".encode()
        raw = self.id + (1_700_000_000).to_bytes(8) + self.key.sign(signed)
        return 200, "text/plain", f"\u2014 {self.name} {base64.b64encode(raw).decode()}\n"


def test_a_file_keeps_every_checkpoint(small, tmp_path):
    publisher = FilePublisher(tmp_path / "kept" / "checkpoints.txt")
    notes = []
    for _ in range(3):
        small.append(some(5))
        checkpoint = small.checkpoint()
        publisher.publish(checkpoint)
        notes.append(checkpoint.note)
    assert publisher.read() == notes
    assert small.verify(published=publisher.read()).ok
    with publisher.path.open("ab") as file:
        file.write(notes[0][:40].encode())
    assert publisher.read() == notes, "a line cut off by a crash is left out"


def test_a_file_that_cannot_be_written(small, tmp_path):
    (tmp_path / "file").write_text("x")
    publisher = FilePublisher(tmp_path / "file" / "below")
    with pytest.raises(FileFailed):
        publisher.publish(small.checkpoint())
    with pytest.raises(FileFailed):
        publisher.read()


def test_a_web_address_gets_the_note(small):
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(204 if len(got) == 1 else 500)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        publisher = HttpPublisher(f"http://127.0.0.1:{server.server_port}/checkpoints")
        checkpoint = small.checkpoint()
        publisher.publish(checkpoint)
        assert got == [checkpoint.note]
        with pytest.raises(FileFailed, match="500"):
            publisher.publish(checkpoint)
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(FileFailed, match="reached"):
        publisher.publish(checkpoint)
    with pytest.raises(FileFailed, match="http"):
        HttpPublisher("file:///etc/passwd")


def test_a_witness_cosigns_what_continues(log):
    fake = FakeWitness(log.vkey)
    witness = Witness(log, "https://witness.example", fake.vkey, fake.post)
    for count in (3, 300, 1):
        log.append(some(count))
        note = witness.cosign(log.checkpoint())
        assert note.count("\u2014 ") == 2 and check_checkpoint(note, log.vkey).size == log.size
    assert fake.asked == 3
    witness.cosign(log.checkpoint())
    late = Witness(log, "https://witness.example", fake.vkey, fake.post)
    log.append(some(1))
    late.cosign(log.checkpoint())
    assert fake.asked == 6, "one more question where the sizes differ"
    with log.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM cosignatures")).scalar() == 4


def test_a_witness_that_refuses_or_lies(small):
    small.append(some(3))
    fake = FakeWitness(small.vkey)
    for status, words in ((403, "trust"), (404, "know"), (422, "rewritten"), (500, "500")):
        refusing = Witness(small, "https://w.example", fake.vkey, lambda url, body, s=status: (s, "", ""))
        with pytest.raises(ProofInvalid, match=words):
            refusing.cosign(small.checkpoint())
    wrong = base64.b64encode(fake.id + bytes(72)).decode()
    for answer in ("", "nonsense", f"\u2014 {fake.name} {wrong}\n", f"\u2014 other {wrong}\n"):
        lying = Witness(small, "https://w.example", fake.vkey, lambda url, body, a=answer: (200, "", a))
        with pytest.raises(ProofInvalid, match="no signature"):
            lying.cosign(small.checkpoint())
    with pytest.raises(ProofInvalid, match="witness key"):
        Witness(small, "https://w.example", small.vkey, fake.post)


def test_a_rewritten_log_gets_no_cosignature(small, tmp_path):
    fake = FakeWitness(small.vkey)
    small.append(some(5))
    Witness(small, "https://w.example", fake.vkey, fake.post).cosign(small.checkpoint())
    fake.seen = SignedTree(fake.seen.origin, 5, bytes(32))
    small.append(some(5))
    with pytest.raises(ProofInvalid, match="rewritten"):
        Witness(small, "https://w.example", fake.vkey, fake.post).cosign(small.checkpoint())
