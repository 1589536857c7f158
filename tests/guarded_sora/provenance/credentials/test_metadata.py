from __future__ import annotations

import json
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from guarded_sora.errors import MediaError
from guarded_sora.provenance.credentials.certificates import Chain
from guarded_sora.provenance.credentials.manifest import IPTC
from guarded_sora.provenance.credentials.metadata import (
    XMP_UUID,
    Aigc,
    first_label,
    read_declared,
)
from guarded_sora.provenance.credentials.sign import sign
from guarded_sora.provenance.credentials.signer import FileKeySigner
from tests.guarded_sora.provenance.credentials.conftest import content_of

LABEL = first_label("911101081234567890ABCDEFGHI", "gs1:0a1b2c3d:00112233ff")


def tagged(path: Path, value: str, codec: str = "libx264") -> Path:
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags+faststart"}) as container:
        container.metadata["AIGC"] = value
        stream = container.add_stream(codec, rate=8)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    return path


def with_xmp(film: Path, target: Path, packet: bytes) -> Path:
    body = XMP_UUID + packet
    target.write_bytes(film.read_bytes() + struct.pack(">I4s", 8 + len(body), b"uuid") + body)
    return target


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mov", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx")],
)
def test_the_chinese_label_comes_back(tmp_path: Path, name: str, codec: str) -> None:
    found = read_declared(tagged(tmp_path / name, LABEL.to_json(), codec))
    assert found.says_ai is True
    assert found.aigc == LABEL and found.aigc.problems() == ()
    assert found.aigc_count == 1


def test_the_chinese_label_survives_signing(tmp_path: Path, ours: Chain) -> None:
    source = tagged(tmp_path / "a.mp4", LABEL.to_json())
    sign(source, tmp_path / "s.mp4", content_of(), FileKeySigner.of(ours))
    found = read_declared(tmp_path / "s.mp4")
    assert found.aigc == LABEL and found.where == ("moov.udta.meta:AIGC",)


def test_the_wrapped_form_is_read_too(tmp_path: Path) -> None:
    wrapped = json.dumps({"AIGC": json.loads(LABEL.to_json())})
    assert read_declared(tagged(tmp_path / "a.mp4", wrapped)).aigc == LABEL


@pytest.mark.parametrize("value", ["", "{", "[1]", "null", '{"AIGC": 3}', '{"x": 1}', "[" * 5000])
def test_broken_labels_say_nothing(tmp_path: Path, value: str) -> None:
    found = read_declared(tagged(tmp_path / "a.mp4", value))
    assert found.aigc is None and found.says_ai is None


def test_what_the_standard_forbids() -> None:
    assert first_label("p", "id").problems() == ()
    assert "Label" in Aigc(label="9", content_producer="p").problems()[0]
    assert any("ContentProducer" in text for text in first_label("two words", "id").problems())
    assert any("empty" in text for text in Aigc().problems())
    with pytest.raises(MediaError, match="ProduceID"):
        first_label("p", 'quo"te').to_json()
    assert list(json.loads(LABEL.to_json())) == [
        "Label",
        "ContentProducer",
        "ProduceID",
        "ReservedCode1",
        "ContentPropagator",
        "PropagateID",
        "ReservedCode2",
    ]


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        (
            f'<x:xmpmeta><rdf:D Iptc4xmpExt:DigitalSourceType="{IPTC}trainedAlgorithmicMedia"/></x:xmpmeta>',
            True,
        ),
        (
            f"<x:xmpmeta><e:DigitalSourceType>{IPTC}compositeWithTrainedAlgorithmicMedia</e:DigitalSourceType></x:xmpmeta>",
            True,
        ),
        (f'<x:xmpmeta><e:DigitalSourceType rdf:resource="{IPTC}digitalCapture"/></x:xmpmeta>', False),
        ("<x:xmpmeta><e:DigitalSourceType>trainedAlgorithmicMedia</e:DigitalSourceType></x:xmpmeta>", True),
        ("<x:xmpmeta><dc:title>nothing said</dc:title></x:xmpmeta>", None),
        ("DigitalSourceType" * 50_000, None),
    ],
)
def test_source_types_in_xmp(film: Path, tmp_path: Path, packet: str, says: bool | None) -> None:
    assert read_declared(with_xmp(film, tmp_path / "x.mp4", packet.encode())).says_ai is says


def test_xmp_in_pictures(tmp_path: Path) -> None:
    from PIL import Image

    xmp = f'<x:xmpmeta xmlns:x="adobe"><d DigitalSourceType="{IPTC}trainedAlgorithmicMedia"/></x:xmpmeta>'
    Image.new("RGB", (8, 8)).save(tmp_path / "p.jpg", xmp=xmp.encode())
    assert read_declared(tmp_path / "p.jpg").says_ai is True


def test_plain_and_hostile_files_declare_nothing(film: Path, tmp_path: Path) -> None:
    assert read_declared(film).says_ai is None
    for data in (b"", b"text", b"\0\0\0\x14ftypisom\0\0\0\0isom" + b"\0\0\0\x08free" * 30_000):
        (tmp_path / "bad.mp4").write_bytes(data)
        assert read_declared(tmp_path / "bad.mp4").where == ()
    with pytest.raises(MediaError):
        read_declared(tmp_path / "missing.mp4")
