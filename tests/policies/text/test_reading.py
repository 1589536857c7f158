"""Views are made once a request, and kept no longer."""

import contextvars
import gc
import threading
import weakref

import pytest

from guarded_sora.policies.finding import RequestContext
from guarded_sora.policies.pack import load_pack
from guarded_sora.policies.text import reading
from guarded_sora.policies.text.check import LexiconCheck
from guarded_sora.policies.text.names import NamesCheck
from guarded_sora.policies.text.normalise import make_views
from guarded_sora.policies.text.personal import PersonalDataCheck
from guarded_sora.policies.text.reading import MOST_READINGS, one_request, read
from guarded_sora.policies.text.sequence import SequenceCheck

TEXTS = ("a quiet harbour", "", "n.u.d.e b33ch, b l o o d", "裸の女性 🔪", "a\ud800b\u200bc", "x\u0336" * 50)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_reading_holds_the_views_of_its_text(text: str) -> None:
    assert list(read(text).views) == make_views(text)
    assert [view.name for view in read(text).bases] == [
        view.name for view in make_views(text)[: len(read(text).bases)]
    ]


def test_the_checks_of_a_request_share_the_views(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = reading.derive_views
    monkeypatch.setattr(reading, "derive_views", lambda bases: made.append(bases[0].text) or real(bases))
    pack, context = load_pack(), RequestContext(age_tier="adult", region="US")
    checks = (LexiconCheck(pack), NamesCheck(pack), SequenceCheck(pack), PersonalDataCheck())
    text = "kíll the mаn at 5 o'clock, then s e v e r e d  h3ad"
    alone = [check.check(text, context) for check in checks]
    assert len(made) == 3
    with one_request():
        together = [check.check(text, context) for check in checks]
    assert together == alone and len(made) == 4


def test_a_thread_of_the_request_shares_them_and_another_does_not() -> None:
    seen: list[object] = []
    with one_request():
        mine = read("a red kite")
        context = contextvars.copy_context()
        for work in (lambda: context.run(seen.append, read("x")), lambda: seen.append(read("a red kite"))):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        inside = context.run(read, "a red kite")
    assert inside is mine and seen[1] is not mine


def test_nothing_is_kept_after_the_request_or_without_one() -> None:
    class Watched(reading.Reading):
        __slots__ = ("__weakref__",)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "Reading", Watched)
        with one_request():
            known = weakref.ref(read("a prompt"))
            assert read("a prompt") is known()
            with one_request():
                assert read("a prompt") is not known()
        gc.collect()
        assert known() is None and read("a prompt") is not read("a prompt")


def test_only_the_first_texts_of_a_request_are_kept() -> None:
    with one_request():
        first = [read(str(number)) for number in range(MOST_READINGS + 3)]
        again = [read(str(number)) for number in range(MOST_READINGS + 3)]
    assert [a is b for a, b in zip(first, again, strict=True)] == [True] * MOST_READINGS + [False] * 3
