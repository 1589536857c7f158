"""The one declarative table from evidence to verdict. First match wins; order is meaning.

A verdict never says "real" or "authentic": the absence of marks proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class VerdictName(StrEnum):
    """What can be said of a file."""

    UNREADABLE = "unreadable"
    TAMPERED = "tampered"
    OURS_INTACT = "ours_intact"
    OURS_ALTERED = "ours_altered"
    SIGNED_ELSEWHERE = "signed_elsewhere"
    DECLARED_SYNTHETIC = "declared_synthetic"
    LIKELY_SYNTHETIC = "likely_synthetic"
    INCONCLUSIVE = "inconclusive"
    NO_EVIDENCE = "no_evidence"


class CredentialSign(StrEnum):
    """What the embedded credentials say, reduced to what the table needs."""

    NONE = "none"
    OURS = "ours"  # signed by us, hash holds
    OURS_EXPIRED = "ours_expired"  # the same, but our certificate has run out
    TRUSTED = "trusted"  # another signer on the trust list, hash holds
    UNPROVEN = "unproven"  # hash holds, signer unknown, expired or revoked
    BROKEN = "broken"  # claims are there and fail
    UNCHECKED = "unchecked"  # refused, remote or unsupported: nothing can be said


class MarkSign(StrEnum):
    """What the watermark says."""

    ABSENT = "absent"
    BELOW = "below"  # a trace under its bound
    OURS = "ours"  # our mark, and the store knows its id
    UNKNOWN = "unknown"  # our mark holds, but no record has its id
    UNCHECKED = "unchecked"


class ContentSign(StrEnum):
    """How the picture compares with the fingerprint of the clip it is tied to."""

    NONE = "none"  # nothing to compare with
    SAME = "same"  # every second is where it was
    PARTLY = "partly"  # cut, extended or mixed with other material
    OTHER = "other"  # another film


class DetectorSign(StrEnum):
    """What the synthetic-media detector says."""

    NOT_RUN = "not_run"
    NOTHING = "nothing"
    ABSTAINS = "abstains"  # it looked and may not say anything
    FOR_REVIEW = "for_review"  # rare among real films, but not shown well enough to be said in public
    LIKELY = "likely"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """Everything the table looks at.

    ``exact_file``: the log holds this very file's SHA-256. ``source_film``: this very file was given to
    protect, before it was marked. ``bad_ingredient``: trusted credentials
    whose input fails its own check. ``our_ingredient``: a verified ingredient is a clip of ours.
    ``contradiction``: two sound pieces of evidence name different clips. ``declares_synthetic``:
    the file says of itself that it is synthetic. ``claims_ai``: unproven credentials say so.
    ``failed``: at least one check raised or timed out.
    """

    readable: bool = True
    credentials: CredentialSign = CredentialSign.NONE
    mark: MarkSign = MarkSign.ABSENT
    content: ContentSign = ContentSign.NONE
    exact_file: bool = False
    source_film: bool = False
    bad_ingredient: bool = False
    our_ingredient: bool = False
    contradiction: bool = False
    declares_synthetic: bool = False
    claims_ai: bool = False
    public_mark: bool = False
    detector: DetectorSign = DetectorSign.NOT_RUN
    failed: bool = False

    @property
    def ours_by_mark(self) -> bool:
        """The mark is ours, its id is known and the picture is the one it was given to."""
        return self.mark is MarkSign.OURS and self.content in (ContentSign.SAME, ContentSign.PARTLY)

    @property
    def ours_by_content(self) -> bool:
        """The picture resembles a clip of ours, whatever happened to mark and credentials."""
        return self.content in (ContentSign.SAME, ContentSign.PARTLY) and not self.source_film

    @property
    def tied_to_us(self) -> bool:
        """Mark, fingerprint or a verified ingredient leads to a clip of ours."""
        return self.ours_by_mark or self.ours_by_content or self.our_ingredient

    @property
    def whole_by_the_log(self) -> bool:
        """Signed by us, and the log holds exactly these bytes."""
        return self.signed_by_us and self.exact_file

    @property
    def signed_by_us(self) -> bool:
        """Our signature holds over these bytes; an expired one counts with the log's word for it."""
        return self.credentials is CredentialSign.OURS or (
            self.credentials is CredentialSign.OURS_EXPIRED and self.exact_file
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    verdict: VerdictName
    reason: str
    when: Callable[[Signs], bool]
    notices: tuple[str, ...] = ()


V, C, M, K, D = VerdictName, CredentialSign, MarkSign, ContentSign, DetectorSign


def _row(
    verdict: VerdictName, reason: str, when: Callable[[Signs], bool], notices: tuple[str, ...] = ()
) -> Row:
    return Row(verdict=verdict, reason=reason, when=when, notices=notices)


TABLE: tuple[Row, ...] = (
    _row(V.UNREADABLE, "not_a_readable_film", lambda s: not s.readable),
    # -- tampered: evidence that cannot all be true
    # A file whose very bytes the log holds is what it was released as, whatever our reading says.
    _row(
        V.TAMPERED,
        "mark_transplanted",
        lambda s: s.mark is M.OURS and s.content is K.OTHER and not s.whole_by_the_log,
    ),
    _row(V.TAMPERED, "claims_contradict", lambda s: s.contradiction),
    _row(
        V.TAMPERED,
        "signed_content_is_another",
        lambda s: s.credentials is C.OURS and s.content is K.OTHER and not s.exact_file,
    ),
    _row(V.TAMPERED, "credentials_broken", lambda s: s.credentials is C.BROKEN and not s.tied_to_us),
    # -- ours_intact: signature, mark and fingerprint agree
    _row(
        V.OURS_INTACT,
        "signature_mark_and_content_agree",
        lambda s: s.credentials is C.OURS and s.mark is M.OURS and s.content is K.SAME,
    ),
    _row(
        V.OURS_INTACT,
        "log_holds_this_file",
        lambda s: (
            s.credentials is C.OURS_EXPIRED and s.exact_file and s.mark is M.OURS and s.content is K.SAME
        ),
        ("signer_expired",),
    ),
    # Our signature holds, so the bytes are ours and whole; what disagrees is our own reading.
    _row(V.INCONCLUSIVE, "mark_not_checked", lambda s: s.signed_by_us and s.mark is M.UNCHECKED),
    _row(V.INCONCLUSIVE, "mark_not_found_in_signed_file", lambda s: s.signed_by_us and s.mark is not M.OURS),
    _row(V.INCONCLUSIVE, "fingerprint_not_confirmed", lambda s: s.signed_by_us and s.content is not K.SAME),
    # -- ours_altered: tied to us, but not as we released it
    _row(
        V.OURS_ALTERED,
        "bytes_changed",
        lambda s: s.tied_to_us and s.credentials is C.BROKEN and s.content is not K.PARTLY,
    ),
    _row(V.OURS_ALTERED, "resigned", lambda s: s.tied_to_us and s.credentials in (C.TRUSTED, C.UNPROVEN)),
    _row(V.OURS_ALTERED, "cut_or_mixed", lambda s: s.tied_to_us and s.content is K.PARTLY),
    _row(V.OURS_ALTERED, "credentials_stripped", lambda s: s.ours_by_mark and s.credentials is C.NONE),
    _row(V.OURS_ALTERED, "mark_and_credentials_gone", lambda s: s.ours_by_content),
    _row(V.OURS_ALTERED, "built_on_a_clip_of_ours", lambda s: s.our_ingredient),
    # The film as it was given to protect: nothing was taken away from it, it never had any of it.
    _row(
        V.OURS_ALTERED,
        "source_before_marking",
        lambda s: s.source_film and s.credentials in (C.NONE, C.UNCHECKED),
    ),
    _row(
        V.INCONCLUSIVE,
        "mark_without_fingerprint",
        lambda s: s.mark is M.OURS and s.content is K.NONE,
    ),
    # -- others
    _row(
        V.SIGNED_ELSEWHERE,
        "trusted_with_bad_ingredient",
        lambda s: s.credentials is C.TRUSTED and s.bad_ingredient,
        ("bad_ingredient",),
    ),
    _row(V.SIGNED_ELSEWHERE, "trusted_signer", lambda s: s.credentials is C.TRUSTED),
    _row(
        V.DECLARED_SYNTHETIC,
        "unproven_credentials_say_ai",
        lambda s: s.credentials in (C.UNPROVEN, C.OURS_EXPIRED) and s.claims_ai,
    ),
    _row(V.DECLARED_SYNTHETIC, "metadata_says_ai", lambda s: s.declares_synthetic),
    _row(V.DECLARED_SYNTHETIC, "public_watermark", lambda s: s.public_mark),
    _row(V.LIKELY_SYNTHETIC, "detector", lambda s: s.detector is D.LIKELY),
    # -- signs that settle nothing
    _row(V.INCONCLUSIVE, "check_failed", lambda s: s.failed),
    _row(V.INCONCLUSIVE, "mark_below_bound", lambda s: s.mark is M.BELOW),
    # A sound mark whose record is gone: ours, but a transplanted mark could not be told from it.
    _row(V.INCONCLUSIVE, "mark_of_no_record", lambda s: s.mark is M.UNKNOWN),
    _row(V.INCONCLUSIVE, "mark_unchecked", lambda s: s.mark is M.UNCHECKED),
    _row(V.INCONCLUSIVE, "untrusted_claims", lambda s: s.credentials in (C.UNPROVEN, C.OURS_EXPIRED)),
    _row(V.INCONCLUSIVE, "credentials_unchecked", lambda s: s.credentials is C.UNCHECKED),
    _row(V.INCONCLUSIVE, "detector_ranks_for_review", lambda s: s.detector is D.FOR_REVIEW),
    _row(V.INCONCLUSIVE, "detector_abstains", lambda s: s.detector is D.ABSTAINS),
    _row(V.NO_EVIDENCE, "nothing_found", lambda s: True),
)


def judge(signs: Signs) -> Row:
    """The first row that matches; the last one always does."""
    return next(row for row in TABLE if row.when(signs))
