import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_sora.errors import UsageError
from guarded_sora.provenance.payload import MarkPayload, pack, unpack, verify

KEY = bytes(range(32))
payloads = st.builds(
    MarkPayload, id=st.integers(0, (1 << 40) - 1), epoch=st.integers(0, 31), version=st.integers(0, 7)
)


@given(payloads)
def test_round_trip(payload: MarkPayload) -> None:
    word = pack(payload, KEY)
    assert 0 <= word < 1 << 64
    assert unpack(word)[0] == payload
    assert verify(word, KEY) == payload


@given(payloads, st.integers(0, 63))
def test_any_flipped_bit_breaks_the_mac_or_the_number(payload: MarkPayload, bit: int) -> None:
    # A wrong word passes with 2 ** -16; these are fixed by the seedless key, so 64 flips of one word do not.
    changed = pack(payload, KEY) ^ 1 << bit
    found = verify(changed, KEY)
    assert found is None or found != payload


def test_other_key_is_refused() -> None:
    words = [pack(MarkPayload(id=number), KEY) for number in range(500)]
    assert sum(verify(word, b"\x01" * 32) is not None for word in words) == 0


def test_frozen_word() -> None:
    """Clips already marked must stay readable."""
    assert pack(MarkPayload(id=0x123456789A, epoch=3, version=1), KEY) == FROZEN


@pytest.mark.parametrize(
    "field", [{"id": 1 << 40}, {"id": -1}, {"id": 1, "epoch": 32}, {"id": 1, "version": 8}]
)
def test_out_of_range_is_refused(field: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        MarkPayload(**field)


@pytest.mark.parametrize("word", [-1, 1 << 64])
def test_words_of_other_lengths_are_refused(word: int) -> None:
    with pytest.raises(UsageError):
        unpack(word)


@pytest.mark.parametrize("key", [b"", b"short"])
def test_short_keys_are_refused(key: bytes) -> None:
    with pytest.raises(UsageError):
        pack(MarkPayload(id=1), key)


FROZEN = 0x23123456789A2FBA
