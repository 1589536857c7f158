from __future__ import annotations

import struct
from pathlib import Path

import pytest

from guarded_sora.errors import MediaError
from guarded_sora.provenance.credentials.container import C2PA_UUID, Limits, inspect
from tests.guarded_sora.provenance.credentials.conftest import encode

FTYP = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 0, b"isom")


def box(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "made.mp4"
    path.write_bytes(data)
    return path


def test_real_films_pass(tmp_path: Path, signed: Path) -> None:
    report = inspect(signed)
    assert (report.kind, report.mime, report.refused) == ("bmff", "video/mp4", "")
    assert report.stores == 1 and report.store_span is not None
    offset, length = report.store_span
    assert signed.read_bytes()[offset + 4 : offset + 8] == b"jumb"
    assert length > 1000
    fragmented = encode(tmp_path / "f.mp4", options={"movflags": "frag_keyframe+empty_moov"})
    assert inspect(fragmented).fragmented and not inspect(fragmented).refused
    assert inspect(encode(tmp_path / "q.mov")).mime == "video/quicktime"
    assert inspect(encode(tmp_path / "m.mkv")).kind == "matroska"
    assert inspect(encode(tmp_path / "a.avi", codec="mpeg4")).mime == "video/x-msvideo"


def test_too_many_boxes_anywhere(tmp_path: Path) -> None:
    small = Limits(boxes=100)
    assert not inspect(written(tmp_path, FTYP + box(b"free") * 99), small).refused
    top = inspect(written(tmp_path, FTYP + box(b"free") * 100), small)
    assert top.refused_code == "too_many_boxes"
    nested = inspect(written(tmp_path, FTYP + box(b"moov", box(b"udta", box(b"free") * 200))), small)
    assert nested.refused_code == "too_many_boxes"
    assert nested.boxes == 101  # it stopped counting there


def test_half_a_million_boxes_stop_at_the_limit(tmp_path: Path) -> None:
    report = inspect(written(tmp_path, FTYP + box(b"free") * 500_000))
    assert report.refused_code == "too_many_boxes"
    assert report.boxes == 20_001


def test_deep_nesting_stops_at_the_limit(tmp_path: Path) -> None:
    data = b""
    for _ in range(2000):
        data = box(b"moov", data)
    report = inspect(written(tmp_path, FTYP + data))
    assert report.refused_code == "too_deep"
    assert report.boxes < 20


@pytest.mark.parametrize(
    "tail",
    [
        struct.pack(">I4s", 7, b"free"),  # smaller than its own header
        struct.pack(">I4s", 4000, b"mdat"),  # past the end
        struct.pack(">I4sQ", 1, b"mdat", 1 << 62),
        struct.pack(">I4sQ", 1, b"mdat", (1 << 64) - 1),
        struct.pack(">I4sQ", 1, b"mdat", 3),
        struct.pack(">I4s", 1, b"mdat"),  # 64-bit size missing
        box(b"moov", struct.pack(">I4s", 100, b"trak")),  # child larger than its parent
        b"some text that is no box",
    ],
)
def test_sizes_that_cannot_be(tmp_path: Path, tail: bytes) -> None:
    assert inspect(written(tmp_path, FTYP + tail)).refused_code == "bad_size"


def test_trailing_bytes(tmp_path: Path) -> None:
    assert inspect(written(tmp_path, FTYP + b"abc")).refused_code == "trailing_data"


def test_zero_size_reaches_to_the_end(tmp_path: Path) -> None:
    report = inspect(written(tmp_path, FTYP + struct.pack(">I4s", 0, b"mdat") + b"x" * 100))
    assert not report.refused and report.boxes == 2


def test_sizes_inside_a_quicktime_meta_box_condemn_nothing(tmp_path: Path) -> None:
    quicktime = struct.pack(">I4s4sI4s", 20, b"ftyp", b"qt  ", 0, b"qt  ")
    meta = box(b"moov", box(b"meta", box(b"hdlr", b"\0" * 20)))  # without version and flags
    assert not inspect(written(tmp_path, quicktime + meta)).refused
    assert inspect(written(tmp_path, FTYP + meta)).refused_code == "bad_size"


def test_huge_store_and_huge_file(tmp_path: Path) -> None:
    store = box(b"uuid", C2PA_UUID + b"\0\0\0\0manifest\0" + bytes(8) + b"x" * 5000)
    report = inspect(written(tmp_path, FTYP + store), Limits(store_bytes=4096))
    assert report.refused_code == "store_too_large"
    sparse = tmp_path / "sparse.mp4"
    with open(sparse, "wb") as stream:
        stream.write(FTYP)
        stream.truncate((4 << 30) + 1)
    assert inspect(sparse).refused_code == "too_large"


def test_pictures_have_a_limit_of_their_own(tmp_path: Path) -> None:
    for head in (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"):
        picture = tmp_path / "huge"
        with open(picture, "wb") as stream:
            stream.write(head)
            stream.truncate((256 << 20) + 1)
        assert inspect(picture).refused_code == "too_large"


def test_merkle_boxes_are_no_stores(tmp_path: Path) -> None:
    merkle = box(b"uuid", C2PA_UUID + b"\0\0\0\0merkle\0" + b"x" * 50)
    store = box(b"uuid", C2PA_UUID + b"\0\0\0\0manifest\0" + bytes(8) + b"x" * 50)
    assert inspect(written(tmp_path, FTYP + store + merkle * 3)).stores == 1
    assert inspect(written(tmp_path, FTYP + store * 2)).stores == 2


def test_many_riff_chunks_stop(tmp_path: Path) -> None:
    chunks = b"JUNK\0\0\0\0" * 30_000
    data = b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"AVI " + chunks
    assert inspect(written(tmp_path, data)).refused_code == "too_many_boxes"


def test_what_cannot_be_opened_raises(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="check the path"):
        inspect(tmp_path / "missing.mp4")
    with pytest.raises(MediaError, match="check the path"):
        inspect(tmp_path)
