import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_sora.errors import UsageError
from guarded_sora.provenance.clip_id import ClipId

ISSUER = "0a1b2c3d"


@given(st.integers(0, (1 << 40) - 1))
def test_text_form_is_read_back(number: int) -> None:
    clip = ClipId(issuer=ISSUER, id=number)
    assert str(clip) == f"gs1:{ISSUER}:{number:010x}"
    assert ClipId.parse(str(clip)) == clip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gs1:0a1b2c3d",
        "gs1:0a1b2c3d:123456789",
        "gs1:0a1b2c3d:12345678901",
        "gs1:0A1B2C3D:0123456789",
        "gs2:0a1b2c3d:0123456789",
        "gs1:0a1b2c3d:0123456789\n",
        " gs1:0a1b2c3d:0123456789",
        "gs1:0a1b2c3d:012345678g",
        "gs1:\u0660a1b2c3d:0123456789",
        "x" * 1_000_000,
        None,
        7,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="gs1:"):
        ClipId.parse(text)


@pytest.mark.parametrize(
    ("issuer", "number"), [("short", 1), (ISSUER, -1), (ISSUER, 1 << 40), (ISSUER, True)]
)
def test_values_outside_the_range_are_refused(issuer: str, number: int) -> None:
    with pytest.raises(UsageError):
        ClipId(issuer=issuer, id=number)


def test_random_ids_differ() -> None:
    assert len({ClipId.random(ISSUER).id for _ in range(200)}) == 200
