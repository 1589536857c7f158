"""What is laid over a film while it is read: the visible labels the law asks for, then the mark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.policies.finding import Decision
from guarded_sora.provenance.clip_id import ClipId
from guarded_sora.provenance.credentials.metadata import AIGC_KEY, first_label
from guarded_sora.provenance.labels import Kind, LabelPlan, Stamp, plan_labels

Embed = Callable[[Iterable[FrameBatch]], Iterable[FrameBatch]]

_OBLIGATION = "label:"


def laws_for(decision: Decision, profile: Iterable[str]) -> tuple[str, ...]:
    """The laws whose labels the decision obliges to and the profile asks for."""
    obliged = sorted(item for item in decision.obligations if item.startswith(_OBLIGATION))
    return tuple(dict.fromkeys((*profile, *(item.removeprefix(_OBLIGATION) for item in obliged))))


def plan_for(laws: Iterable[str], kind: Kind) -> LabelPlan:
    """The visible labels of ``laws``.

    Raises:
        UsageError: a law that no label is known for; nothing may be released then.
    """
    return plan_labels(laws, kind=kind)


def tags_for(laws: Iterable[str], producer: str, clip_id: ClipId) -> dict[str, str]:
    """Container tags that ``laws`` ask for: China's AIGC label names who made the clip, and its id."""
    return {AIGC_KEY: first_label(producer, str(clip_id)).to_json()} if "cn" in laws else {}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layered:
    """Re-iterable: the frames with labels drawn in and the mark embedded, computed while they are read."""

    frames: Iterable[FrameBatch]
    labels: LabelPlan
    embed: Embed

    def __iter__(self) -> Iterator[FrameBatch]:
        return iter(self.embed(self._labelled()))

    def _labelled(self) -> Iterator[FrameBatch]:
        stamp: Stamp | None = None
        for batch in self.frames:
            if not self.labels.names:
                yield batch
                continue
            if stamp is None or stamp.size != batch.frames.shape[1:3]:
                stamp = Stamp(self.labels, *batch.frames.shape[1:3])
            yield stamp.apply_batch(batch)
