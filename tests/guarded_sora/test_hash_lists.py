"""Hash lists: in from three forms, out again, and one clear error for what is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from guarded_sora import GuardedSora, UsageError
from guarded_sora.detectors.copies import WorksFrames
from guarded_sora.detectors.fingerprint import from_pdq, hash_picture, to_pdq
from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.enrol import add_subject
from guarded_sora.hash_lists import export_hashes, import_hashes
from guarded_sora.store import Kind, SubjectName
from tests.guarded_sora.conftest import moving_scene

SCENE = moving_scene(41, frames=1)[0]
LISTED = to_pdq(hash_picture(SCENE).bits)
OTHER = "0f" * 32


@pytest.fixture
def subject(sora: GuardedSora) -> str:
    return add_subject(sora.services, Kind.WORK, [SubjectName(text="A list from elsewhere")])


def written(path: Path, *rows: tuple[str, str]) -> Path:
    if path.suffix == ".csv":
        lines = ["signal_type,signal_str,collab,category,tags", *(f"{a},{b},x,," for a, b in rows)]
        path.write_text("\n".join(lines) + "\n")
    elif path.suffix == ".json":
        nested = [{"type": kind, "indicator": {"indicator": text, "type": kind}} for kind, text in rows]
        path.write_text(json.dumps({"data": nested, "paging": {}}))
    else:
        path.write_text("".join(json.dumps({"type": a, "raw_indicator": b}) + "\n" for a, b in rows))
    return path


@pytest.mark.parametrize("name", ["list.csv", "list.json", "list.jsonl"])
def test_a_listed_picture_is_stopped_and_the_list_comes_out_again(
    sora: GuardedSora, subject: str, tmp_path: Path, name: str
) -> None:
    source = written(
        tmp_path / name,
        ("HASH_PDQ", LISTED),
        ("pdq", LISTED.upper()),
        ("pdq", OTHER),
        ("HASH_MD5", "d41d8cd98f00b204e9800998ecf8427e"),
        ("pdq", "0" * 64),
    )
    done = import_hashes(sora.services, subject, source)
    assert (done.added, done.repeated, done.other, done.plain) == (2, 1, 1, 1)
    out = tmp_path / f"out{source.suffix}"
    assert export_hashes(sora.services, out) == 2
    text = out.read_text()
    assert LISTED in text and subject in text and "elsewhere" not in text
    again = add_subject(sora.services, Kind.WORK, [SubjectName(text="Taken in again")])
    assert import_hashes(sora.services, again, out).added == 2
    with pytest.raises(UsageError, match="cannot be written"):
        export_hashes(sora.services, out)


def test_a_listed_picture_is_known_again_when_edited(sora: GuardedSora, subject: str, tmp_path: Path) -> None:
    import_hashes(sora.services, subject, written(tmp_path / "list.csv", ("pdq", OTHER), ("pdq", LISTED)))
    still = tmp_path / "still.jpg"
    Image.fromarray(SCENE).resize((200, 200)).save(still, quality=60)
    frames = np.asarray(Image.open(still))[None]
    batch = FrameBatch(frames=frames, times=np.zeros(1), fps=1.0)
    (finding,) = WorksFrames(sora.services.registry).inspect(batch)
    assert (finding.category, finding.severity, finding.subject) == ("ip.work", 3, subject)
    assert "registered list" in finding.evidence


def test_the_order_is_that_of_pdq_tools() -> None:
    first = bytes([0x80]) + bytes(31)
    assert to_pdq(first) == "0" * 63 + "1"
    bits = np.random.default_rng(1).bytes(32)
    assert from_pdq(f" {to_pdq(bits)}\n") == bits
    for bad in ("", "0" * 63, "g" * 64, "0" * 66):
        with pytest.raises(ValueError, match=r"hex"):
            from_pdq(bad)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "type,hash\npdq,00\n", "signal_type and signal_str"),
        ("a.csv", "signal_type,signal_str\npdq,00\n", "Entry 2"),
        ("a.csv", 'signal_type,signal_str\npdq,"00\n', "no CSV"),
        ("a.csv", "", "signal_type and signal_str"),
        ("a.json", "[", "no ThreatExchange page"),
        ("a.json", '{"error": {}}', "no ThreatExchange page"),
        ("a.json", '{"data": [3]}', "Entry 1"),
        ("a.json", '{"data": {"a": 1}}', "no ThreatExchange page"),
        ("a.jsonl", '{"type": "HASH_PDQ", "indicator": 7}', "Entry 1"),
        ("a.jsonl", '{"type": "HASH_PDQ", "indicator": "zz"}', "64 hexadecimal"),
        ("a.txt", "00", "must end in"),
    ],
)
def test_what_is_no_list_registers_nothing(
    sora: GuardedSora, subject: str, tmp_path: Path, name: str, content: str, words: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UsageError, match=words):
        import_hashes(sora.services, subject, path)
    assert not sora.services.registry.registered()
