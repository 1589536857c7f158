import re

import pytest

from guarded_sora.policies.taxonomy import CATEGORIES, SCHEMES, crosswalk, from_scheme


def test_ids_are_stable_and_complete() -> None:
    assert tuple(CATEGORIES) == (
        "sexual.minors", "sexual.explicit", "sexual.suggestive", "sexual.nonconsensual",
        "violence.act", "violence.graphic", "violence.extremism", "violence.animal",
        "self_harm", "hate", "harassment", "dangerous.weapons", "dangerous.cbrn",
        "illicit.drugs", "illicit.crime", "disturbing",
        "likeness.private", "likeness.public", "likeness.minor", "likeness.deceased",
        "ip.character", "ip.brand", "ip.style_living_artist", "ip.music", "ip.work",
        "deception.news", "deception.elections", "deception.document", "deception.defamation",
        "privacy.pii", "temporal.sequence", "temporal.transform", "temporal.text",
        "synthetic.input", "evasion", "check.failed",
    )  # fmt: skip


def test_every_category_is_described_and_well_formed() -> None:
    for category in CATEGORIES.values():
        assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", category.id)
        assert category.title and category.description.endswith(".")
        assert set(category.maps) == set(SCHEMES)


@pytest.mark.parametrize("number", range(1, 14))
def test_every_llama_guard_hazard_except_advice_is_covered(number: int) -> None:
    # S6 (specialised advice) and S14 (code interpreter) mean nothing for a film.
    assert bool(from_scheme("llama_guard", f"S{number}")) is (number != 6)


def test_crosswalk_both_ways() -> None:
    assert crosswalk("deception.defamation", "mlcommons") == ("dfm",)
    assert "deception.defamation" in from_scheme("mlcommons", "dfm")
    assert crosswalk("evasion", "openai") == ()
    with pytest.raises(KeyError):
        crosswalk("no.such", "openai")
