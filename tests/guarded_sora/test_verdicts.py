"""Every row of the verdict table is reached, in its order, and no combination escapes its meaning."""

from __future__ import annotations

from itertools import product

import pytest

from guarded_sora.verdicts import (
    TABLE,
    ContentSign,
    CredentialSign,
    DetectorSign,
    MarkSign,
    Signs,
    VerdictName,
    judge,
)

C, M, K, D = CredentialSign, MarkSign, ContentSign, DetectorSign

EXAMPLES = {
    "not_a_readable_film": Signs(readable=False, credentials=C.OURS, mark=M.OURS, content=K.SAME),
    "mark_transplanted": Signs(mark=M.OURS, content=K.OTHER, credentials=C.TRUSTED),
    "claims_contradict": Signs(contradiction=True, credentials=C.OURS, mark=M.OURS, content=K.SAME),
    "signed_content_is_another": Signs(credentials=C.OURS, content=K.OTHER),
    "credentials_broken": Signs(credentials=C.BROKEN, claims_ai=True),
    "signature_mark_and_content_agree": Signs(credentials=C.OURS, mark=M.OURS, content=K.SAME),
    "log_holds_this_file": Signs(credentials=C.OURS_EXPIRED, mark=M.OURS, content=K.SAME, exact_file=True),
    "mark_not_checked": Signs(credentials=C.OURS, mark=M.UNCHECKED, content=K.SAME, failed=True),
    "mark_not_found_in_signed_file": Signs(credentials=C.OURS, mark=M.ABSENT, content=K.SAME),
    "fingerprint_not_confirmed": Signs(credentials=C.OURS, mark=M.OURS, content=K.NONE),
    "bytes_changed": Signs(credentials=C.BROKEN, mark=M.OURS, content=K.SAME),
    "resigned": Signs(credentials=C.TRUSTED, mark=M.OURS, content=K.SAME),
    "cut_or_mixed": Signs(mark=M.OURS, content=K.PARTLY),
    "credentials_stripped": Signs(mark=M.OURS, content=K.SAME),
    "mark_and_credentials_gone": Signs(content=K.SAME),
    "built_on_a_clip_of_ours": Signs(our_ingredient=True),
    "source_before_marking": Signs(source_film=True, content=K.SAME),
    "mark_without_fingerprint": Signs(mark=M.OURS),
    "trusted_with_bad_ingredient": Signs(credentials=C.TRUSTED, bad_ingredient=True),
    "trusted_signer": Signs(credentials=C.TRUSTED),
    "unproven_credentials_say_ai": Signs(credentials=C.UNPROVEN, claims_ai=True),
    "metadata_says_ai": Signs(declares_synthetic=True),
    "public_watermark": Signs(public_mark=True),
    "detector": Signs(detector=D.LIKELY),
    "check_failed": Signs(failed=True),
    "mark_below_bound": Signs(mark=M.BELOW),
    "mark_of_no_record": Signs(mark=M.UNKNOWN),
    "mark_unchecked": Signs(mark=M.UNCHECKED),
    "untrusted_claims": Signs(credentials=C.UNPROVEN),
    "credentials_unchecked": Signs(credentials=C.UNCHECKED),
    "detector_ranks_for_review": Signs(detector=D.FOR_REVIEW),
    "detector_abstains": Signs(detector=D.ABSTAINS),
    "nothing_found": Signs(),
}

ALL = tuple(
    Signs(
        readable=readable,
        credentials=credentials,
        mark=mark,
        content=content,
        detector=detector,
        exact_file=flags[0],
        bad_ingredient=flags[1],
        our_ingredient=flags[2],
        contradiction=flags[3],
        declares_synthetic=flags[4],
        claims_ai=flags[5],
        failed=flags[6],
    )
    for readable, credentials, mark, content, detector, flags in product(
        (True,), C, M, K, D, product((False, True), repeat=7)
    )
)


def test_every_row_has_an_example_and_no_example_lacks_a_row() -> None:
    assert [row.reason for row in TABLE] == list(EXAMPLES)


@pytest.mark.parametrize("reason", EXAMPLES)
def test_each_row_is_reached(reason: str) -> None:
    assert judge(EXAMPLES[reason]).reason == reason


def test_every_row_is_reachable_only_where_no_earlier_row_matches() -> None:
    for signs in EXAMPLES.values():
        matching = [row.reason for row in TABLE if row.when(signs)]
        assert judge(signs).reason == matching[0]


def test_ours_intact_needs_signature_mark_and_content() -> None:
    for signs in ALL:
        if judge(signs).verdict is VerdictName.OURS_INTACT:
            assert signs.signed_by_us
            assert signs.mark is M.OURS
            assert signs.content is K.SAME
            assert not signs.contradiction


def test_our_mark_on_other_content_is_always_tampered() -> None:
    for signs in ALL:
        if signs.mark is M.OURS and signs.content is K.OTHER:
            # Bytes that the log holds are what was released: then it is our own reading that errs.
            whole = signs.whole_by_the_log and not signs.contradiction
            expected = VerdictName.INCONCLUSIVE if whole else VerdictName.TAMPERED
            assert judge(signs).verdict is expected


def test_a_failed_check_is_never_silence() -> None:
    for signs in ALL:
        if signs.failed:
            assert judge(signs).verdict is not VerdictName.NO_EVIDENCE


def test_no_evidence_only_where_nothing_at_all_was_found() -> None:
    quiet = {judge(signs).verdict for signs in ALL if signs == Signs()}
    assert quiet == {VerdictName.NO_EVIDENCE}
    for signs in ALL:
        if judge(signs).verdict is VerdictName.NO_EVIDENCE:
            assert signs.credentials is C.NONE
            assert signs.mark is M.ABSENT
            assert signs.detector in (D.NOT_RUN, D.NOTHING)
            assert signs.content in (K.NONE, K.OTHER)


def test_the_detector_alone_never_overrules_provenance() -> None:
    for signs in ALL:
        if judge(signs).verdict is VerdictName.LIKELY_SYNTHETIC:
            assert not signs.tied_to_us
            assert signs.credentials not in (C.OURS, C.TRUSTED, C.BROKEN)


def test_a_score_that_only_ranks_is_never_said_in_public() -> None:
    for signs in ALL:
        if signs.detector in (D.FOR_REVIEW, D.ABSTAINS):
            assert judge(signs).verdict is not VerdictName.LIKELY_SYNTHETIC
            assert judge(signs).verdict is not VerdictName.NO_EVIDENCE


def test_the_detector_changes_nothing_where_provenance_settles_it() -> None:
    open_to_it = (VerdictName.NO_EVIDENCE, VerdictName.INCONCLUSIVE, VerdictName.LIKELY_SYNTHETIC)
    for signs in ALL:
        if signs.detector is D.NOT_RUN and judge(signs).verdict not in open_to_it:
            fields = {name: getattr(signs, name) for name in signs.__slots__}
            others = [judge(Signs(**(fields | {"detector": sign}))) for sign in D]
            assert {row.reason for row in others} == {judge(signs).reason}


def test_broken_claims_are_never_passed_over() -> None:
    for signs in ALL:
        if signs.credentials is C.BROKEN:
            assert judge(signs).verdict in (VerdictName.TAMPERED, VerdictName.OURS_ALTERED)


def test_unreadable_wins_over_everything() -> None:
    for signs in EXAMPLES.values():
        worse = {name: getattr(signs, name) for name in signs.__slots__} | {"readable": False}
        assert judge(Signs(**worse)).verdict is VerdictName.UNREADABLE
