"""The streams are frozen: a change here makes every clip marked so far unreadable."""

import numpy as np
import pytest

from guarded_sora.errors import UsageError
from guarded_sora.provenance.watermark.keys import DATA_CLASSES, KeyStream, MarkKey
from guarded_sora.provenance.watermark.tile import CODE, data_layout, pilot_layout, word_bits
from tests.guarded_sora.provenance.watermark.films import KEY, PAYLOAD


def test_frozen_stream() -> None:
    stream = KeyStream(bytes(range(32)))
    assert stream.words(4).tolist() == FROZEN_WORDS
    assert stream.shuffled(10).tolist() == FROZEN_SHUFFLE
    assert stream.signs(8).tolist() == FROZEN_SIGNS


def test_frozen_layout() -> None:
    assert pilot_layout(KEY).bins[:8].tolist() == FROZEN_PILOTS
    layout = data_layout(KEY, 2)
    assert layout.bits[:8].tolist() == FROZEN_BITS
    assert layout.signs[:8].astype(int).tolist() == FROZEN_LAYOUT_SIGNS
    coded = CODE.encode(word_bits(PAYLOAD, KEY))
    assert np.packbits(coded < 0).tobytes().hex() == FROZEN_CODED
    assert [KEY.first_class(clip) for clip in range(8)] == FROZEN_CLASSES


def test_split_reads_give_the_same_stream() -> None:
    whole = KeyStream(b"k" * 32).words(5000)
    stream = KeyStream(b"k" * 32)
    parts = np.concatenate([stream.words(count) for count in (1, 1999, 2500, 500)])
    assert np.array_equal(whole, parts)


def test_shuffle_is_fair() -> None:
    stream = KeyStream(b"s" * 32)
    places = np.zeros((6, 6))
    for _ in range(3000):
        places[np.arange(6), stream.shuffled(6)] += 1
    assert np.abs(places / 3000 - 1 / 6).max() < 0.035


def test_pilots_are_shared_by_tenants_and_nothing_else_is() -> None:
    other = MarkKey(secret=KEY.secret, epoch=KEY.epoch, tenant="another")
    assert np.array_equal(pilot_layout(KEY).bins, pilot_layout(other).bins)
    assert KEY.mac_key() != other.mac_key()
    for data_class in range(DATA_CLASSES):
        agreement = np.mean(data_layout(KEY, data_class).signs == data_layout(other, data_class).signs)
        assert 0.4 < agreement < 0.6


def test_epochs_share_nothing() -> None:
    other = MarkKey(secret=KEY.secret, epoch=4, tenant=KEY.tenant)
    assert not np.array_equal(pilot_layout(KEY).bins, pilot_layout(other).bins)


def test_secret_is_not_printed() -> None:
    assert KEY.secret.hex() not in repr(KEY)
    assert str(KEY.secret) not in repr(KEY)


@pytest.mark.parametrize("fields", [{"secret": b"short"}, {"secret": bytes(32), "epoch": 32}])
def test_bad_keys_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        MarkKey(**fields)  # type: ignore[arg-type]


FROZEN_WORDS = [2289889385, 41995840, 956937037, 1530735752]
FROZEN_SHUFFLE = [6, 7, 4, 9, 5, 1, 2, 8, 3, 0]
FROZEN_SIGNS = [1, -1, -1, -1, -1, 1, -1, -1]
FROZEN_PILOTS = [219, 24, 983, 981, 819, 119, 258, 872]
FROZEN_BITS = [19, 43, 232, 186, 310, 374, 184, 273]
FROZEN_LAYOUT_SIGNS = [1, 1, -1, -1, -1, -1, 1, -1]
FROZEN_CODED = (
    "00003f6a40855f28e9c651c806c56b93baeea6d282c2029e7da5fe14da7b21bdcdd6ba1dc2c4df1878662f4049acd8e9"
)
FROZEN_CLASSES = [3, 1, 1, 3, 3, 2, 0, 0]
