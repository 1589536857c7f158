"""What was found out about a file and is known of its operator: the only input of the checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

from guarded_sora.provenance.credentials.metadata import Declared
from guarded_sora.provenance.credentials.states import Credentials, State
from guarded_sora.provenance.labels import LabelSurvey

_INTACT = (State.TRUSTED, State.TRUSTED_WITH_BAD_INGREDIENT, State.VALID_UNKNOWN_SIGNER)
OPENING = 0.25
"""Seconds within which the first look at a film counts as its opening picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkFacts:
    """The invisible mark: ``present`` at its stated false-positive rate; ``log10_p`` of the test; who
    found it."""

    present: bool
    name: str = ""
    log10_p: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """What the operator of the system says of it; nothing here can be read from a file.

    ``placed`` is the day the system came on the market (None: take the stricter reading). ``detector_url``
    is a public query interface for marks. ``notice`` tells whether users are told beforehand that the
    service uses AI.
    """

    placed: date | None = None
    detector_url: str = ""
    notice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything the checks may look at. None means that this was not examined, never that it is absent.

    ``seconds`` is the length of the film. ``looks_real`` and ``artistic`` are the deployer's word on the
    content; None takes the stricter reading.
    """

    credentials: Credentials | None = None
    declared: Declared | None = None
    mark: MarkFacts | None = None
    labels: LabelSurvey | None = None
    seconds: float = 0.0
    operator: Operator = field(default_factory=Operator)
    looks_real: bool | None = None
    artistic: bool | None = None

    @property
    def signature_holds(self) -> bool:
        """A digital signature covers this very file and has not expired or been revoked."""
        return self.credentials is not None and self.credentials.state in _INTACT

    @property
    def source_type(self) -> str:
        """The short source type named under a signature that holds; empty for none."""
        if self.credentials is None or not self.signature_holds:
            return ""
        return self.credentials.claims.source_type.rsplit("/", 1)[-1]

    @property
    def marked(self) -> bool:
        return self.mark is not None and self.mark.present

    def label_at_opening(self, language: str) -> bool:
        """Our label in ``language`` on the opening picture."""
        return self.labels is not None and any(time <= OPENING for time in self.labels.times(language))

    def label_through(self, language: str, seconds: float) -> bool:
        """Our label in ``language`` in every frame looked at in the first ``seconds``, the opening
        included."""
        if self.labels is None or not self.label_at_opening(language):
            return False
        seen = set(self.labels.times(language))
        looked = [time for time in self.labels.looked if time <= seconds]
        # A look near the end of the span is needed; a film that is shorter ends before.
        covered = max(looked) >= min(seconds, self.seconds) - 0.6
        return covered and all(time in seen for time in looked)

    def longest_gap(self, language: str) -> float:
        """Longest stretch of seconds between two sightings, or from the last one to the end."""
        times = sorted(self.labels.times(language)) if self.labels is not None else []
        edges = [*times, self.seconds]
        return max((after - before for before, after in pairwise(edges)), default=self.seconds)
