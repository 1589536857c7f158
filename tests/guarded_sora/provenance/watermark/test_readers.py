"""Readers of others' marks: what they recognise, and that they never claim more than chance allows."""

from __future__ import annotations

import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import ProvenanceError, UsageError
from guarded_sora.provenance.watermark import MarkState
from guarded_sora.provenance.watermark.invisible import (
    PUBLIC_MESSAGES,
    InvisibleWatermarkDecoder,
    public_constants,
)
from guarded_sora.provenance.watermark.learned import TrustMarkDecoder, VideoSealDecoder, read_card
from guarded_sora.provenance.watermark.readers import (
    KnownMessage,
    MarkReader,
    MessageReader,
    bits_of_bytes,
    bits_of_number,
    log10_of_chance,
)

MESSAGE = bits_of_number(0x0123456789AB, 48)


class FixedDecoder:
    """Reads ``bits`` from every frame, with a different ``wrong`` few of them false in each."""

    name, version, unavailable = "fixed", "1", ""

    def __init__(self, bits: tuple[bool, ...], wrong: int = 0) -> None:
        self._bits, self._wrong, self.frames = np.array(bits), wrong, 0

    def decode(self, frame: NDArray[np.uint8], mode: str, count: int) -> NDArray[np.bool_] | None:
        if frame.shape[0] < 32:
            return None
        bits = self._bits[:count].copy()
        start = self.frames * self._wrong
        bits[start : start + self._wrong] ^= True
        self.frames += 1
        return bits


def _film(count: int = 12, side: int = 64) -> list[FrameBatch]:
    frames = np.zeros((count, side, side, 3), dtype=np.uint8)
    return [
        FrameBatch(frames=frames[at : at + 4], times=np.arange(at, at + 4) / 4.0, fps=4.0)
        for at in range(0, count, 4)
    ]


def _reader(decoder: FixedDecoder, *, synthetic: bool = True) -> MessageReader:
    return MessageReader(decoder, [KnownMessage(name="known", bits=MESSAGE, synthetic=synthetic)])


def test_known_message_is_recognised_in_three_frames_of_a_film() -> None:
    decoder = FixedDecoder(MESSAGE)
    found = _reader(decoder).detect(_film())
    assert decoder.frames == 3
    assert (found.found.state, found.message, found.matched, found.bits) == (
        MarkState.PRESENT,
        "known",
        48,
        48,
    )
    assert found.found.log10_p == pytest.approx(-48 * math.log10(2))
    assert found.says_synthetic
    assert "anybody can write it" in found.found.reason


def test_majority_mends_what_single_frames_get_wrong() -> None:
    found = _reader(FixedDecoder(MESSAGE, wrong=9)).detect(_film())
    assert found.matched == 48


@pytest.mark.parametrize(
    ("right", "state"),
    [(24, MarkState.ABSENT), (37, MarkState.INCONCLUSIVE), (42, MarkState.PRESENT)],
)
def test_state_follows_the_chance_of_fair_coins(right: int, state: MarkState) -> None:
    bits = tuple(bit if index < right else not bit for index, bit in enumerate(MESSAGE))
    found = _reader(FixedDecoder(bits), synthetic=False).detect(_film())
    assert (found.matched, found.found.state) == (right, state)
    assert not found.says_synthetic


def test_many_messages_make_a_chance_agreement_likelier() -> None:
    bits = tuple(bit if index < 43 else not bit for index, bit in enumerate(MESSAGE))
    others = [KnownMessage(name=str(n), bits=bits_of_number(n, 48)) for n in range(999)]
    known = KnownMessage(name="known", bits=MESSAGE)
    alone = MessageReader(FixedDecoder(bits), [known]).detect(_film())
    among = MessageReader(FixedDecoder(bits), [*others, known]).detect(_film())
    assert among.found.log10_p == pytest.approx(alone.found.log10_p + 3)
    assert (alone.found.state, among.found.state) == (MarkState.PRESENT, MarkState.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("film", "reason"),
    [([], "no picture to read"), (_film(side=16), "the picture is too small for this mark")],
    ids=["empty", "small"],
)
def test_nothing_to_read_is_inconclusive(film: list[FrameBatch], reason: str) -> None:
    found = _reader(FixedDecoder(MESSAGE)).detect(film).found
    assert (found.state, found.reason) == (MarkState.INCONCLUSIVE, reason)


def test_chance_is_the_binomial_tail() -> None:
    assert log10_of_chance(48, 48) == pytest.approx(-48 * math.log10(2))
    assert log10_of_chance(0, 48) == pytest.approx(0.0)
    assert 10 ** log10_of_chance(3, 4) == pytest.approx(5 / 16)


def test_public_messages_are_those_of_the_public_scripts() -> None:
    lengths = {item.name: len(item.bits) for item in PUBLIC_MESSAGES}
    assert lengths == {"Stable Diffusion XL": 48, "Stable Diffusion 1": 136, "Stable Diffusion 2": 32}
    assert all(item.synthetic and item.mode == "dwtDct" for item in PUBLIC_MESSAGES)
    assert bits_of_bytes(b"S")[:4] == (False, True, False, True)


def test_sdxl_message_agrees_with_diffusers() -> None:
    source = pytest.importorskip("diffusers").__path__[0]
    text = Path(source, "pipelines/stable_diffusion_xl/watermark.py").read_text(encoding="utf-8")
    assert "".join(str(int(bit)) for bit in PUBLIC_MESSAGES[0].bits) in text


def test_missing_extra_is_unavailable_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imwatermark", None)
    monkeypatch.setattr("guarded_sora.provenance.watermark.invisible.find_spec", lambda name: None)
    reader = public_constants()
    assert isinstance(reader, MarkReader)
    assert "legacy-watermarks" in reader.unavailable


def test_installed_package_is_called_with_bgr_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[NDArray[np.uint8], str]] = []

    class Decoder:
        def __init__(self, kind: str, count: int) -> None:
            self.count = count

        def decode(self, frame: NDArray[np.uint8], mode: str) -> list[int]:
            seen.append((frame, mode))
            return [1] * self.count

    module = types.ModuleType("imwatermark")
    module.WatermarkDecoder = Decoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "imwatermark", module)
    frame = np.zeros((256, 256, 3), dtype=np.uint8)
    frame[..., 0] = 200
    bits = InvisibleWatermarkDecoder().decode(frame, "dwtDct", 48)
    assert bits is not None and bits.all() and len(bits) == 48
    assert seen[0][0][0, 0].tolist() == [0, 0, 200]
    assert InvisibleWatermarkDecoder().decode(frame[:128], "dwtDct", 48) is None
    with pytest.raises(ProvenanceError, match="dwtDctSvd"):
        InvisibleWatermarkDecoder().decode(frame, "other", 48)


def test_package_that_breaks_is_our_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imwatermark", types.ModuleType("imwatermark"))
    with pytest.raises(ProvenanceError, match="legacy-watermarks"):
        InvisibleWatermarkDecoder().decode(np.zeros((256, 256, 3), dtype=np.uint8), "dwtDct", 48)


# -- readers whose weights the user brings


def _card(folder: Path, text: str) -> Path:
    path = folder / "reader.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_card_without_weights_is_unavailable(tmp_path: Path) -> None:
    card = _card(tmp_path, f'kind = "videoseal"\nweights = "none.jit"\nsha256 = "{"0" * 64}"\n')
    assert "none.jit" in read_card(card).unavailable


def test_exchanged_weights_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "seal.jit").write_bytes(b"not what was pinned")
    card = _card(
        tmp_path,
        f'kind = "videoseal"\nweights = "seal.jit"\nsha256 = "{"0" * 64}"\n'
        f'[[messages]]\nname = "ours"\nhex = "{"a5" * 32}"\n',
    )
    reader = read_card(card)
    assert not reader.unavailable
    with pytest.raises(ProvenanceError, match=r"seal\.jit"):
        reader.detect(_film())


@pytest.mark.parametrize(
    "text",
    [
        'kind = "other"',
        'kind = "trustmark"',
        'kind = "videoseal"\nweights = "x"\nsha256 = "12"',
        'kind = "dwtDct"\n[[messages]]\nname = "x"\nhex = "zz00"',
        f'kind = "videoseal"\nweights = "x"\nsha256 = "{"0" * 64}"\n[[messages]]\nname = "x"\nhex = "abcd"',
        'kind = "dwtDct"\nunknown = 1',
        "= nothing",
    ],
    ids=["kind", "no-weights", "sha256", "hex", "length", "field", "toml"],
)
def test_broken_cards_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        read_card(_card(tmp_path, text))


def test_card_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="check the path"):
        read_card(tmp_path / "none.toml")


def test_video_seal_shaped_torchscript_is_read(tmp_path: Path) -> None:
    """A stand-in network whose first channel is confidence and whose bits alternate."""
    torch = pytest.importorskip("torch")
    import hashlib

    from tests.guarded_sora.provenance.watermark.seal_like import SealLike

    path = tmp_path / "seal.jit"
    torch.jit.script(SealLike()).save(str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    frame = np.full((40, 50, 3), 128, dtype=np.uint8)
    bits = VideoSealDecoder(path, digest).decode(frame, "videoseal", 256)
    assert bits is not None
    assert bits.tolist() == [True, False] * 128


def test_trustmark_sees_frames_between_minus_one_and_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Session:
        def get_inputs(self) -> list[types.SimpleNamespace]:
            return [types.SimpleNamespace(name="image")]

        def run(self, names: None, feed: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
            values = feed["image"]
            assert values.shape == (1, 3, 256, 256)
            assert values.dtype == np.float32
            return [np.full((1, 100), values.mean(), dtype=np.float32)]

    decoder = TrustMarkDecoder(tmp_path / "decoder.onnx", "0" * 64)
    monkeypatch.setattr(decoder, "_model", Session())
    white = np.full((300, 400, 3), 255, dtype=np.uint8)
    bright, dark = decoder.decode(white, "trustmark", 100), decoder.decode(white // 4, "trustmark", 100)
    assert bright is not None and bright.all()
    assert dark is not None and not dark.any()
