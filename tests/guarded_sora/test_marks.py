"""Marks in verdicts: public ones that say "synthetic", and readers that are missing or break."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from guarded_sora import GuardedSora, VerdictName
from guarded_sora.media import ClipFrames, encode
from guarded_sora.provenance.watermark.readers import KnownMessage, MessageReader, bits_of_number
from guarded_sora.verification import verify
from tests.guarded_sora.conftest import Painter, moving_scene
from tests.guarded_sora.provenance.watermark.test_readers import FixedDecoder

MESSAGE = bits_of_number(0xFEDCBA987654, 48)


@pytest.fixture(scope="module")
def sora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedSora]:
    with GuardedSora.open(home=tmp_path_factory.mktemp("marks") / "home", backend=Painter()) as opened:
        yield opened


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("foreign") / "film.mp4"
    encode(ClipFrames(moving_scene(404), 8.0), path, fps=8.0)
    return path


class Broken(FixedDecoder):
    def decode(self, frame: np.ndarray, mode: str, count: int) -> None:
        raise RuntimeError("no")


class Missing(Broken):
    unavailable = "install it"


def _with(sora: GuardedSora, decoder: FixedDecoder, *, synthetic: bool) -> MessageReader:
    return MessageReader(decoder, [KnownMessage(name="known", bits=MESSAGE, synthetic=synthetic)])


@pytest.mark.parametrize(
    ("decoder", "synthetic", "verdict", "state"),
    [
        (FixedDecoder(MESSAGE), True, VerdictName.DECLARED_SYNTHETIC, "present"),
        (FixedDecoder(MESSAGE), False, VerdictName.NO_EVIDENCE, "present"),
        (FixedDecoder(tuple(not bit for bit in MESSAGE)), True, VerdictName.NO_EVIDENCE, None),
        (Broken(MESSAGE), True, VerdictName.NO_EVIDENCE, "failed"),
        (Missing(MESSAGE), True, VerdictName.NO_EVIDENCE, None),
    ],
    ids=["synthetic", "other", "absent", "broken", "missing"],
)
def test_public_mark_in_a_verdict(
    sora: GuardedSora,
    foreign: Path,
    decoder: FixedDecoder,
    synthetic: bool,
    verdict: VerdictName,
    state: str | None,
) -> None:
    services = dataclasses.replace(sora.services, mark_readers=(_with(sora, decoder, synthetic=synthetic),))
    found = verify(services, foreign, depth="provenance")
    assert found.verdict is verdict
    public = [item for item in found.evidence if item.kind == "watermark" and item.detail.get("public")]
    assert [item.state for item in public] == ([state] if state else [])
    if verdict is VerdictName.DECLARED_SYNTHETIC:
        assert found.reason == "public_watermark"
        assert public[0].detail["message"] == "known"
        assert public[0].detail["frames"] == 3


def test_public_marks_are_not_read_where_ours_is_found(sora: GuardedSora, tmp_path: Path) -> None:
    release = sora.generate("a red balloon rising over a sandy beach", seed=5, output=tmp_path / "a.mp4")
    decoder = FixedDecoder(MESSAGE)
    services = dataclasses.replace(sora.services, mark_readers=(_with(sora, decoder, synthetic=True),))
    assert verify(services, release.path, depth="provenance").verdict is VerdictName.OURS_INTACT
    assert decoder.frames == 0
