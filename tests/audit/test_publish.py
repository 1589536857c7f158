import base64
import sys
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text

from guarded_sora.audit.errors import FileFailed, ProofInvalid
from guarded_sora.audit.publish import (
    FilePublisher,
    HttpPublisher,
    ObjectStorePublisher,
    Witness,
    split_notes,
)
from guarded_sora.audit.verifier import (
    CheckFailed,
    SignedTree,
    check_checkpoint,
    check_consistency,
    check_proof,
)
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


@pytest.mark.parametrize("answer", [301, 302, 303, 307, 308, "nonsense"])
def test_a_redirect_or_nonsense_is_not_taken_for_published(small, answer):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            if answer == "nonsense":
                self.wfile.write(b"\x00\xff nonsense\r\n\r\n")
                return
            self.send_response(answer)
            self.send_header("location", "/elsewhere")
            self.end_headers()

        def do_GET(self):
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(FileFailed):
            HttpPublisher(f"http://127.0.0.1:{server.server_port}/checkpoints").publish(small.checkpoint())
    finally:
        server.shutdown()
        server.server_close()


def test_a_witness_cosigns_what_continues(log):
    fake = FakeWitness(log.vkey)
    witness = Witness(log, "https://witness.example", fake.vkey, fake.post)
    for count in (3, 300, 1):
        log.append(some(count))
        note = witness.cosign(log.checkpoint())
        assert note.count("\u2014 ") == 2 and check_checkpoint(note, log.vkey).size == log.size
        proof = log.prove(0)
        assert proof.checkpoint == note and check_proof(proof.text(), proof.entry, log.vkey).size == log.size
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


class Bucket:
    """An object store in memory. ``locks``: what it makes of a wish for a lock."""

    def __init__(self, locks=True, fails=None):
        self.locks, self.fails, self.objects = locks, fails, {}

    def put_object(self, *, Bucket, Key, Body, ObjectLockMode, ObjectLockRetainUntilDate, **_):
        if self.fails:
            raise self.fails
        lock = (ObjectLockMode, ObjectLockRetainUntilDate) if self.locks else (None, None)
        self.objects[Bucket, Key] = (Body, *lock)

    def head_object(self, *, Bucket, Key):
        _, mode, until = self.objects[Bucket, Key]
        return {} if mode is None else {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": until}


def test_an_object_store_keeps_each_checkpoint_under_lock(small):
    bucket = Bucket()
    publisher = ObjectStorePublisher(bucket, "kept", "log/", days=30)
    notes = []
    for _ in range(3):
        small.append(some(300))
        publisher.publish(small.checkpoint())
        notes.append(small.checkpoint().note)
    assert [body.decode() for _, (body, *_) in sorted(bucket.objects.items())] == notes
    assert {name for name, _ in bucket.objects} == {"kept"}
    assert all(key.startswith("log/0000000000000000") for _, key in bucket.objects)
    assert small.verify(published=notes).ok


@pytest.mark.parametrize(
    ("bucket", "words"),
    [
        (Bucket(locks=False), "without locking"),
        (Bucket(fails=ValueError("InvalidRequest: no object lock")), "did not take"),
        (Bucket(fails=ConnectionError()), "ConnectionError"),
    ],
    ids=["unlocked", "refused", "away"],
)
def test_an_object_store_that_does_not_lock(small, bucket, words):
    with pytest.raises(FileFailed, match=words):
        ObjectStorePublisher(bucket, "kept").publish(small.checkpoint())


def test_without_boto3_the_answer_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(FileFailed, match=r"guarded-sora\[objects\]"):
        ObjectStorePublisher.at("s3://bucket/prefix/")


def test_a_client_is_made_with_boto3(monkeypatch, small):
    made = {}

    class FakeBoto3:
        @staticmethod
        def client(kind, endpoint_url=None):
            made.update(kind=kind, endpoint=endpoint_url)
            if endpoint_url == "broken":
                raise ValueError("no region")
            return made.setdefault("bucket", Bucket())

    monkeypatch.setitem(sys.modules, "boto3", FakeBoto3)
    ObjectStorePublisher.at("s3://kept/a/b/", endpoint="https://objects.example").publish(small.checkpoint())
    assert (made["kind"], made["endpoint"]) == ("s3", "https://objects.example")
    ((bucket, key),) = made["bucket"].objects
    assert bucket == "kept" and key.startswith("a/b/0")
    with pytest.raises(FileFailed, match="settings"):
        ObjectStorePublisher.at("kept", endpoint="broken")


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 1), ("x", 1), ("a\n\nb\n", 1), ("a\n\nb\n\nc\n\nd\n", 2), ("a\n\nb\n\nc", 1)],
    ids=["empty", "no note", "one", "two", "cut off"],
)
def test_notes_are_told_apart(text, count):
    assert len(split_notes(text)) == count
