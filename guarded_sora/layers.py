"""What is laid over a film while it is read: the visible labels the law asks for, then the mark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from guarded_sora.detectors.frames import FrameBatch
from guarded_sora.policies.finding import Decision
from guarded_sora.provenance.labels import Kind, LabelPlan, Stamp, plan_labels

Embed = Callable[[Iterable[FrameBatch]], Iterable[FrameBatch]]

_OBLIGATION = "label:"


def labels_for(decision: Decision, profile: Iterable[str], kind: Kind) -> LabelPlan:
    """The labels that the decision obliges to and the profile asks for.

    Raises:
        UsageError: an obligation or a law that no label is known for; nothing may be released then.
    """
    obliged = [
        item.removeprefix(_OBLIGATION) for item in decision.obligations if item.startswith(_OBLIGATION)
    ]
    return plan_labels((*profile, *sorted(obliged)), kind=kind)


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
