"""Category ids: the one list of what can be seen in a prompt, a picture or a film.

Ids are stable: they stand in packs, in the log and in users' code. A new id is a new minor version
of a pack, a changed or dropped id a new major one. Each category names its nearest neighbours in
four public schemes, so that findings can be exported in the words of another system.

Sources of the crosswalks: MLCommons AILuminate v1 hazard codes; Llama Guard 3 and 4 S-codes; the
categories of OpenAI's moderation endpoint; the fourteen aspects of T2VSafetyBench. An empty tuple
means that the scheme has no word for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

TAXONOMY_VERSION: Final = "1.0.0"

Scheme = Literal["mlcommons", "llama_guard", "openai", "t2vsafety"]
SCHEMES: Final[tuple[Scheme, ...]] = ("mlcommons", "llama_guard", "openai", "t2vsafety")

MIN_SEVERITY: Final = 0
MAX_SEVERITY: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One category. ``maps`` holds, for each scheme, the ids there that overlap with it."""

    id: str
    title: str
    description: str
    maps: Mapping[Scheme, tuple[str, ...]]

    @property
    def group(self) -> str:
        """The part of the id before the first dot."""
        return self.id.partition(".")[0]


def _category(
    id: str,
    title: str,
    description: str,
    *,
    mlcommons: str = "",
    llama_guard: str = "",
    openai: str = "",
    t2vsafety: str = "",
) -> Category:
    maps: dict[Scheme, tuple[str, ...]] = {
        "mlcommons": tuple(mlcommons.split()),
        "llama_guard": tuple(llama_guard.split()),
        "openai": tuple(openai.split()),
        "t2vsafety": tuple(t2vsafety.split()),
    }
    return Category(id=id, title=title, description=description, maps=MappingProxyType(maps))


_ALL: Final[tuple[Category, ...]] = (
    _category(
        "sexual.minors", "Sexualised minors",
        "Any sexual or sexualised depiction of a person who is, or looks, under 18.",
        mlcommons="cse", llama_guard="S4", openai="sexual/minors", t2vsafety="pornography",
    ),
    _category(
        "sexual.explicit", "Explicit sexual content",
        "Sexual acts, exposed genitals, or nudity shown for arousal.",
        mlcommons="sxc_prn", llama_guard="S12", openai="sexual", t2vsafety="pornography",
    ),
    _category(
        "sexual.suggestive", "Suggestive content",
        "Non-explicit nudity, fetish posing or lingerie shown for arousal.",
        mlcommons="sxc_prn", llama_guard="S12", openai="sexual", t2vsafety="borderline_pornography",
    ),
    _category(
        "sexual.nonconsensual", "Sexual content without consent",
        "Sexual assault, hidden cameras, undressing of a person who did not agree.",
        mlcommons="src", llama_guard="S3", openai="sexual", t2vsafety="pornography",
    ),
    _category(
        "violence.act", "Violence",
        "One being hurts or kills another, without gore.",
        mlcommons="vcr", llama_guard="S1", openai="violence", t2vsafety="violence",
    ),
    _category(
        "violence.graphic", "Gore",
        "Blood, open wounds, mutilation, dead bodies in detail.",
        mlcommons="vcr", llama_guard="S1", openai="violence/graphic", t2vsafety="gore",
    ),
    _category(
        "violence.extremism", "Terrorism and extremism",
        "Praise, recruitment, re-staging or instructions of terrorist or mass-casualty attacks.",
        mlcommons="vcr iwp", llama_guard="S1 S9", openai="violence illicit/violent", t2vsafety="violence",
    ),
    _category(
        "violence.animal", "Cruelty to animals",
        "Torture or killing of animals for show.",
        mlcommons="vcr", llama_guard="S1", openai="violence", t2vsafety="violence",
    ),
    _category(
        "self_harm", "Suicide and self-harm",
        "Depiction, praise or instruction of suicide, self-injury or eating disorders.",
        mlcommons="ssh", llama_guard="S11",
        openai="self-harm self-harm/intent self-harm/instructions", t2vsafety="disturbing_content",
    ),
    _category(
        "hate", "Hate",
        "Dehumanises or attacks people for a protected characteristic; hate symbols that are praised.",
        mlcommons="hte", llama_guard="S10", openai="hate hate/threatening", t2vsafety="discrimination",
    ),
    _category(
        "harassment", "Harassment",
        "Threatens, humiliates or incites against a particular person.",
        mlcommons="hte vcr", llama_guard="S1", openai="harassment harassment/threatening",
        t2vsafety="discrimination",
    ),
    _category(
        "dangerous.weapons", "Weapons and explosives",
        "Instructions to build, buy or modify weapons or explosives.",
        mlcommons="iwp", llama_guard="S9", openai="illicit/violent", t2vsafety="illegal_activities",
    ),
    _category(
        "dangerous.cbrn", "Mass-destruction weapons",
        "Chemical, biological, radiological or nuclear weapons: making, spreading, acquiring.",
        mlcommons="iwp", llama_guard="S9", openai="illicit/violent", t2vsafety="illegal_activities",
    ),
    _category(
        "illicit.drugs", "Drugs",
        "Making, selling or praising of illegal drugs.",
        mlcommons="ncr", llama_guard="S2", openai="illicit", t2vsafety="illegal_activities",
    ),
    _category(
        "illicit.crime", "Other crime",
        "Instructions for, or promotion of, theft, fraud, trafficking, break-ins or hacking.",
        mlcommons="ncr", llama_guard="S2", openai="illicit", t2vsafety="illegal_activities",
    ),
    _category(
        "disturbing", "Disturbing content",
        "Shocking without gore: body horror, decay, vermin, trypophobia.",
        openai="violence/graphic", t2vsafety="disturbing_content",
    ),
    _category(
        "likeness.private", "Likeness of a private person",
        "A named or pictured private person, without a consent on record.",
        mlcommons="prv", llama_guard="S7", t2vsafety="public_figures",
    ),
    _category(
        "likeness.public", "Likeness of a public figure",
        "A living, widely known person, by name, alias, description or face.",
        llama_guard="S5", t2vsafety="public_figures",
    ),
    _category(
        "likeness.minor", "Likeness of a real minor",
        "A real person under 18.",
        mlcommons="prv cse", llama_guard="S7", t2vsafety="public_figures",
    ),
    _category(
        "likeness.deceased", "Likeness of a deceased person",
        "A real person who has died.",
        llama_guard="S5", t2vsafety="public_figures",
    ),
    _category(
        "ip.character", "Protected character",
        "A fictional character under copyright or trade mark.",
        mlcommons="ipv", llama_guard="S8", t2vsafety="copyright_and_trademarks",
    ),
    _category(
        "ip.brand", "Brand or logo",
        "A trade mark, logo or trade dress.",
        mlcommons="ipv", llama_guard="S8", t2vsafety="copyright_and_trademarks",
    ),
    _category(
        "ip.style_living_artist", "Style of a living artist",
        "Asks for the manner of a named artist who is alive.",
        mlcommons="ipv", llama_guard="S8", t2vsafety="copyright_and_trademarks",
    ),
    _category(
        "ip.music", "Protected music",
        "Names a recording, song or its lyrics.",
        mlcommons="ipv", llama_guard="S8", t2vsafety="copyright_and_trademarks",
    ),
    _category(
        "ip.work", "Registered work",
        "Matches a film, picture or clip whose owner registered it.",
        mlcommons="ipv", llama_guard="S8", t2vsafety="copyright_and_trademarks",
    ),
    _category(
        "deception.news", "Invented news",
        "Made to pass for news footage, an official statement or evidence of an event that did not happen.",
        llama_guard="S13", t2vsafety="misinformation",
    ),
    _category(
        "deception.elections", "Election deception",
        "False voting procedures, staged fraud, fabricated statements of candidates.",
        mlcommons="spc_ele", llama_guard="S13", t2vsafety="political_sensitivity misinformation",
    ),
    _category(
        "deception.document", "Forged documents",
        "Identity papers, certificates, banknotes, receipts or screenshots made to deceive.",
        mlcommons="ncr", llama_guard="S2", openai="illicit", t2vsafety="illegal_activities",
    ),
    _category(
        "deception.defamation", "Defamation",
        "Shows an identifiable person doing something shameful or criminal that they did not do.",
        mlcommons="dfm", llama_guard="S5", openai="harassment", t2vsafety="misinformation",
    ),
    _category(
        "privacy.pii", "Personal data",
        "Addresses, numbers or accounts of a person, in the prompt or as text on screen.",
        mlcommons="prv", llama_guard="S7",
    ),
    _category(
        "temporal.sequence", "Harmful sequence",
        "Each step is harmless, the order of the steps is not.",
        t2vsafety="sequential_action_risk coherent_contextual_risk",
    ),
    _category(
        "temporal.transform", "Harmful transformation",
        "One thing turns into another in a way that demeans or harms.",
        t2vsafety="dynamic_variation_risk",
    ),
    _category(
        "temporal.text", "Harmful text on screen",
        "Text that appears, is spelled out or changes over time and says what speech may not.",
        t2vsafety="dynamic_variation_risk coherent_contextual_risk",
    ),
    _category(
        "synthetic.input", "Input is synthetic or marked",
        "A picture or film that was given as input carries a mark or credentials of a generator.",
    ),
    _category(
        "evasion", "Evasion",
        "Words hidden from a filter: look-alike letters, spacing, encodings, invisible characters.",
    ),
    _category(
        "check.failed", "A check failed",
        "A check that should have run raised, timed out or had wrong weights.",
    ),
)  # fmt: skip

CATEGORIES: Final[Mapping[str, Category]] = MappingProxyType({category.id: category for category in _ALL})
"""Every category by its id, in reading order."""


def crosswalk(category: str, scheme: Scheme) -> tuple[str, ...]:
    """Ids in ``scheme`` that overlap with ``category``; empty where there are none.

    Raises ``KeyError`` for a category that is not in the taxonomy.
    """
    return CATEGORIES[category].maps[scheme]


def from_scheme(scheme: Scheme, label: str) -> tuple[str, ...]:
    """Our category ids that map to ``label`` of another scheme, in reading order."""
    return tuple(category.id for category in _ALL if label in category.maps[scheme])
