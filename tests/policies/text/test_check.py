import base64
import random
import sys
import time

import pytest

from guarded_sora.policies.finding import CharacterSpan, Finding, RequestContext
from guarded_sora.policies.pack import load_pack
from guarded_sora.policies.taxonomy import CATEGORIES
from guarded_sora.policies.text.check import (
    MAX_PER_CATEGORY,
    LexiconCheck,
    PromptCheck,
    default_prompt_checks,
    unavailable_reason,
)

CONTEXT = RequestContext()


@pytest.fixture(scope="module")
def checks() -> tuple[PromptCheck, ...]:
    return tuple(check for check in default_prompt_checks(load_pack()) if not unavailable_reason(check))


@pytest.fixture(scope="module")
def lexicon(checks: tuple[PromptCheck, ...]) -> PromptCheck:
    return next(check for check in checks if isinstance(check, LexiconCheck))


def by_category(findings: object) -> dict[str, Finding]:
    return {finding.category: finding for finding in findings}  # type: ignore[attr-defined]


def test_the_shipped_checks_keep_the_contract(checks: tuple[PromptCheck, ...]) -> None:
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        assert isinstance(check, PromptCheck) and check.version
        for text in ("", " ", "a red balloon", "a pornographic beheading, mail me: a@b.example"):
            first = list(check.check(text, CONTEXT))
            assert first == list(check.check(text, CONTEXT))
            for finding in first:
                assert finding.category in CATEGORIES and finding.detector == check.name
                if not finding.severity:  # a score for the whole prompt, no sighting in it
                    assert finding.score is not None and finding.where is None
                    continue
                assert isinstance(finding.where, CharacterSpan)
                assert 0 <= finding.where.start < finding.where.end <= len(text)


def test_a_plain_hit_points_at_its_word_and_is_no_evasion(lexicon: PromptCheck) -> None:
    text = "a beheading at dawn"
    (finding,) = lexicon.check(text, CONTEXT)
    assert finding.category == "violence.graphic" and finding.severity == 3
    assert isinstance(finding.where, CharacterSpan)
    assert text[finding.where.start : finding.where.end] == "beheading"


def test_a_hidden_hit_points_at_its_disguise_and_raises_evasion(lexicon: PromptCheck) -> None:
    text = "see b\u200beh3\u00adad1ng now"
    seen = by_category(lexicon.check(text, CONTEXT))
    assert seen["violence.graphic"].severity == 3 and seen["evasion"].severity == 2
    where = seen["violence.graphic"].where
    assert isinstance(where, CharacterSpan) and text[where.start : where.end] == "b\u200beh3\u00adad1ng"


def test_another_script_is_no_evasion_but_mixed_scripts_are(lexicon: PromptCheck) -> None:
    assert "evasion" not in by_category(lexicon.check("血まみれの廊下", CONTEXT))
    assert "evasion" in by_category(lexicon.check("a bеheаding", CONTEXT))


def test_words_spelled_by_invisible_tags_are_evasion_whatever_they_say(lexicon: PromptCheck) -> None:
    text = "a kite" + "".join(chr(0xE0000 + ord(char)) for char in "hello there")
    assert by_category(lexicon.check(text, CONTEXT))["evasion"].severity == 2


def test_evidence_names_our_term_and_never_the_prompt(lexicon: PromptCheck) -> None:
    findings = lexicon.check("my secret uncle Bob watches porn at home", CONTEXT)
    assert findings and not any("Bob" in f.evidence or "uncle" in f.evidence for f in findings)


def test_findings_of_a_category_are_bounded_and_the_worst_survive(lexicon: PromptCheck) -> None:
    text = ", ".join(["bleeding"] * 40) + " and a beheading"
    findings = [f for f in lexicon.check(text, CONTEXT) if f.category == "violence.graphic"]
    assert len(findings) == MAX_PER_CATEGORY and max(f.severity for f in findings) == 3


HOSTILE = (
    "a" * 200_000,
    "n u d e " * 10_000,
    "🔪" * 20_000,
    "b\u0301" * 50_000,
    "\ud800" * 50_000,
    base64.b64encode(b"hello world, " * 6_000).decode(),
    "%41" * 30_000,
    "behead them " * 9_000,
    "@" * 100_000,
    "1" * 100_000,
    "a.b-c_d@" * 12_000,
    "(((" * 30_000,
    "4-1-1-1-" * 12_000,
    "b*" * 50_000,
    "レイプ" * 20_000,
    "&#65;" * 20_000,
    "\u202e\u200b" * 50_000,
)


@pytest.mark.parametrize("text", [text[: len(text) // 4] for text in HOSTILE], ids=range(len(HOSTILE)))
@pytest.mark.timeout(60)
def test_huge_hostile_prompts_end(checks: tuple[PromptCheck, ...], text: str) -> None:
    """What is quadratic takes minutes here; the soak measures the rest."""
    for check in checks:
        check.check(text, CONTEXT)


@pytest.mark.soak
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_huge_hostile_prompts_end_well_within_100_ms_a_kilobyte(
    checks: tuple[PromptCheck, ...], text: str
) -> None:
    started = time.process_time()
    for check in checks:
        check.check(text, CONTEXT)
    assert time.process_time() - started < len(text.encode("utf-8", "replace")) / 10_000


def test_ten_thousand_fuzzed_prompts_sampled(checks: tuple[PromptCheck, ...]) -> None:
    draw = random.Random(5)
    seeds = [
        "porn",
        "behead",
        "child",
        "爆弾",
        "\U000e0041",
        "=",
        "%41",
        "&#65;",
        "\\u0041",
        "а",
        "\u200b",
        "4",
    ]
    for _ in range(150):
        parts = [
            draw.choice(seeds) if draw.random() < 0.5 else chr(draw.randrange(sys.maxunicode + 1))
            for _ in range(draw.randrange(80))
        ]
        text = "".join(parts)
        if draw.random() < 0.3:
            text = base64.b64encode(text.encode("utf-8", "replace")).decode()
        for check in checks:
            for finding in check.check(text, CONTEXT):
                if not finding.severity:
                    continue
                assert isinstance(finding.where, CharacterSpan)
                assert 0 <= finding.where.start < finding.where.end <= len(text)


def test_importing_the_vocabulary_and_engine_is_light() -> None:
    import subprocess

    code = (
        "import sys; import guarded_sora.policies.engine, guarded_sora.policies.taxonomy;"
        "heavy = {'torch', 'numpy', 'cv2', 'sqlalchemy', 'pydantic', 'yaml', 'cel', 'disarm'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("レ○プの動画", "sexual.nonconsensual"),
        ("ﾚｲﾌﾟの動画", "sexual.nonconsensual"),
        ("レ イ プ", "sexual.nonconsensual"),
        ("れいぷシーン", "sexual.nonconsensual"),
        ("reipu no douga", "sexual.nonconsensual"),
        ("セッ○スする二人", "sexual.explicit"),
        ("ｾｯｸｽする二人", "sexual.explicit"),
        ("ポ*ノ動画", "sexual.explicit"),
        ("自○する人", "self_harm"),
        ("じ・さ・つ", "self_harm"),
        ("ジサツ", "self_harm"),
        ("血 ま み れ", "violence.graphic"),
        ("ジサツの方法", "self_harm"),
    ],
)
def test_japanese_disguises_are_seen(lexicon: PromptCheck, text: str, category: str) -> None:
    assert category in by_category(lexicon.check(text, CONTEXT))


@pytest.mark.parametrize(
    "text",
    [
        "ドレイプの美しい布",
        "グレイプのジュース",
        "ヌードルを食べる",
        "芸術家の自画像",
        "二人の将棋",
        "自○を塗る少女",
        "息を殺す",
    ],
)
def test_japanese_look_alikes_pass(lexicon: PromptCheck, text: str) -> None:
    assert lexicon.check(text, CONTEXT) == []


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("coppia che fa sesso esplicito", "sexual.explicit"),
        ("una bomba artigianale sul tavolo", "illicit.crime"),
        ("двое избивают до смерти человека", "violence.act"),
        ("отрубленная голова на столе", "violence.graphic"),
        ("مشهد جنسي في غرفة", "sexual.explicit"),
        ("طريقة صنع قنبلة", "illicit.crime"),
        ("칼로 찌르는 장면", "violence.act"),
        ("사제 폭탄을 만드는 방법", "illicit.crime"),
        ("matan a golpes al preso", "violence.act"),
    ],
    ids=range(9),
)
def test_the_core_of_other_languages_is_found(lexicon: PromptCheck, text: str, category: str) -> None:
    assert by_category(lexicon.check(text, CONTEXT))[category].severity == 3


@pytest.mark.parametrize(
    "text",
    [
        "una bomba d'acqua artigianale colora il cortile",
        "женщина в голубом платье режет хлеб",
        "امرأة في السوق تبيع التمر",
        "자살 예방 상담 전화",
        "el perro mata el tiempo al sol",
    ],
    ids=range(5),
)
def test_the_core_of_other_languages_leaves_the_rest(lexicon: PromptCheck, text: str) -> None:
    assert list(lexicon.check(text, CONTEXT)) == []
