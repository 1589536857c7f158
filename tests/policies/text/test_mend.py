import pytest

from guarded_sora.policies.text.mend import MAX_MENDED, WordMender
from guarded_sora.policies.text.normalise import base_views

MENDER = WordMender(["purple", "elephant", "house", "of"], guards=["elegant"])


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("a purpel elehpant", "a purple elephant"),
        ("a p*rple el**hant", "a purple elephant"),
        ("a h●use", "a house"),
        ("a purple elephant", None),
        ("an elegant h", None),
        ("a f*ne day", None),
        ("", None),
    ],
)
def test_words_are_put_right(text: str, mended: str | None) -> None:
    view = MENDER.view(base_views(text)[0])
    assert (None if view is None else view.text) == mended


def test_offsets_and_disguise() -> None:
    text = "see the p*rple wall"
    view = MENDER.view(base_views(text)[0])
    assert view is not None and view.tricky
    start = view.text.index("purple")
    assert view.span(start, start + 6) == (8, 14) and view.span(start + 7, start + 11) == (15, 19)
    slip = MENDER.view(base_views("a purpel wall")[0])
    assert slip is not None and not slip.tricky


def test_repairs_are_bounded() -> None:
    view = MENDER.view(base_views("purpel " * 5000)[0])
    assert view is not None and view.text.count("purple") == MAX_MENDED
