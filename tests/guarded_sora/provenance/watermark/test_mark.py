import numpy as np
import pytest

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.errors import ProvenanceError, UsageError
from guarded_sora.provenance.payload import MarkPayload
from guarded_sora.provenance.watermark import KeyedTileMark, MarkKey, MarkState, Watermark
from tests.guarded_sora.provenance.watermark.films import (
    KEY,
    OTHER,
    PAYLOAD,
    batches,
    flat,
    joined,
    marked,
    psnr,
    recoded,
    textured,
)

MARK = KeyedTileMark(KEY)


def test_is_a_watermark() -> None:
    assert isinstance(MARK, Watermark)
    assert (MARK.name, MARK.version) == ("keyed-tile", "1")


@pytest.mark.parametrize("film", [textured(), flat()], ids=["textured", "flat"])
def test_clean_film_is_read_at_42_db(film: np.ndarray) -> None:
    copy = film.copy()
    result = marked(film)
    assert np.array_equal(film, copy)
    assert 41.7 <= psnr(film, result) <= 42.6
    evidence = MARK.detect(batches(result))
    assert evidence.state is MarkState.PRESENT
    assert evidence.payload == PAYLOAD
    assert evidence.tenant == "studio"
    assert evidence.log10_p < -100
    assert [segment.id for segment in evidence.segments] == [PAYLOAD.id]
    assert evidence.segments[0].start == 0.0
    assert evidence.segments[-1].end == pytest.approx(len(film) / 8)


@pytest.mark.parametrize("crf", [18, 28])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_small_flat_clip_survives_encoding(crf: int, seed: int) -> None:
    evidence = MARK.detect(batches(recoded(marked(flat(seed=seed)), crf)))
    assert evidence.state is MarkState.PRESENT
    assert evidence.payload == PAYLOAD
    assert evidence.log10_p <= -9


def test_reading_frames_scaled_to_360_lines_beforehand() -> None:
    import cv2

    film = marked(textured(count=8, size=(540, 960)))
    small = np.stack([cv2.resize(frame, (640, 360), interpolation=cv2.INTER_AREA) for frame in film])
    assert MARK.detect(batches(small)).payload == PAYLOAD


@pytest.mark.parametrize("film", [textured(seed=9), flat(seed=9)], ids=["textured", "flat"])
def test_unmarked_film_is_absent(film: np.ndarray) -> None:
    evidence = MARK.detect(batches(film))
    assert evidence.state is MarkState.ABSENT
    assert evidence.payload is None
    assert evidence.hypotheses > 0
    assert {segment.state for segment in evidence.segments} == {MarkState.ABSENT}


@pytest.mark.parametrize(
    "reader",
    [
        OTHER,
        MarkKey(secret=KEY.secret, epoch=4, tenant=KEY.tenant),
    ],
    ids=["secret", "epoch"],
)
def test_any_other_key_reads_nothing(reader: MarkKey) -> None:
    assert KeyedTileMark(reader).detect(batches(marked(textured()))).state is MarkState.ABSENT


def test_older_keys_and_other_tenants_are_read_together() -> None:
    older = MarkKey(secret=KEY.secret, epoch=2, tenant="studio")
    other = MarkKey(secret=KEY.secret, epoch=3, tenant="guest")
    reader = KeyedTileMark(KEY, readers=[older, other])
    for key in (older, other):
        payload = MarkPayload(id=77, epoch=key.epoch)
        evidence = reader.detect(batches(marked(textured(), payload=payload, key=key)))
        assert (evidence.payload, evidence.tenant) == (payload, key.tenant)


def test_batch_sizes_change_nothing() -> None:
    film = textured(count=13)
    one = joined(MARK.embed(batches(film, sizes=[1]), PAYLOAD))
    odd = list(MARK.embed(batches(film, sizes=[7, 2, 4]), PAYLOAD))
    assert [len(batch) for batch in odd] == [7, 2, 4]
    assert np.array_equal(one, joined(odd))
    left = MARK.detect(batches(one, sizes=[1]))
    right = MARK.detect(batches(one, sizes=[13]))
    assert left == right


def test_embedding_is_streamed() -> None:
    taken = 0

    def source() -> object:
        nonlocal taken
        for batch in batches(textured(count=64, size=(64, 96)), sizes=[1]):
            taken += 1
            yield batch

    stream = MARK.embed(source(), PAYLOAD)  # type: ignore[arg-type]
    next(stream)
    assert taken < 40


def test_hint_finds_a_mark_too_weak_to_read_blind() -> None:
    stream = KeyedTileMark(KEY, psnr=45.0).embed(batches(textured(count=16, size=(144, 256))), PAYLOAD)
    film = recoded(joined(stream), 25)
    blind = MARK.detect(batches(film))
    assert blind.state is not MarkState.PRESENT
    hinted = MARK.detect(batches(film), hint=[PAYLOAD])
    wrong = MARK.detect(batches(film), hint=[MarkPayload(id=5, epoch=3)])
    assert hinted.log10_p < -9
    assert wrong.state is not MarkState.PRESENT


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_films_do_not_break(level: int) -> None:
    film = np.full((4, 128, 128, 3), level, dtype=np.uint8)
    evidence = MARK.detect(batches(marked(film)))
    assert evidence.state in MarkState


@pytest.mark.parametrize("size", [(1, 1), (47, 300), (300, 2)])
def test_tiny_films_cannot_be_marked_and_are_inconclusive(size: tuple[int, int]) -> None:
    film = np.zeros((2, *size, 3), dtype=np.uint8)
    with pytest.raises(ProvenanceError):
        marked(film)
    evidence = MARK.detect(batches(film))
    assert evidence.state is MarkState.INCONCLUSIVE
    assert evidence.reason


def test_empty_film_is_inconclusive() -> None:
    assert MARK.detect([]).state is MarkState.INCONCLUSIVE
    empty = FrameBatch(frames=np.zeros((0, 64, 64, 3), np.uint8), times=np.zeros(0), fps=8.0)
    assert MARK.detect([empty]).state is MarkState.INCONCLUSIVE
    assert list(MARK.embed([], PAYLOAD)) == []


def test_one_frame_is_enough() -> None:
    assert MARK.detect(batches(marked(textured(count=1)))).payload == PAYLOAD


def test_changing_size_and_broken_times_are_refused() -> None:
    small, large = batches(textured(2, (64, 64))), batches(textured(2, (80, 80)))
    with pytest.raises(ProvenanceError, match="size"):
        MARK.detect([*small, *large])
    frames = textured(2, (64, 64))
    with pytest.raises(ProvenanceError, match="time"):
        MARK.detect([FrameBatch(frames=frames, times=np.array([0.0, np.nan]), fps=8.0)])


@pytest.mark.parametrize("fps", [0.0, float("nan"), float("inf"), -3.0])
def test_senseless_rates_are_survived(fps: float) -> None:
    frames = marked(textured(count=4))
    batch = FrameBatch(frames=frames, times=np.arange(4) / 8, fps=fps)
    assert MARK.detect([batch]).payload == PAYLOAD


def test_times_that_run_backwards_are_survived() -> None:
    frames = marked(textured(count=4))
    batch = FrameBatch(frames=frames, times=np.array([1.0, 0.5, 0.2, 1.5]), fps=8.0)
    assert MARK.detect([batch]).payload == PAYLOAD


def test_payload_of_another_epoch_is_refused() -> None:
    with pytest.raises(UsageError, match="epoch"):
        list(MARK.embed(batches(flat(1)), MarkPayload(id=1, epoch=5)))


@pytest.mark.parametrize("psnr_db", [0.0, 29.9, 61.0, float("nan")])
def test_senseless_quality_is_refused(psnr_db: float) -> None:
    with pytest.raises(UsageError):
        KeyedTileMark(KEY, psnr=psnr_db)


def test_tenants_of_one_epoch_leave_a_trace_for_each_other() -> None:
    """They share pilots, so the reader sees that something is there, and no word of its own."""
    reader = KeyedTileMark(MarkKey(secret=KEY.secret, epoch=3, tenant="elsewhere"))
    evidence = reader.detect(batches(marked(textured())))
    assert evidence.state is MarkState.INCONCLUSIVE
    assert evidence.payload is None


def test_small_textured_film_gets_a_stronger_mark_that_survives_encoding() -> None:
    film = textured(count=17, size=(256, 256), seed=2)
    result = marked(film)
    assert 38.7 <= psnr(film, result) <= 39.6
    assert MARK.detect(batches(recoded(result, 23))).payload == PAYLOAD
