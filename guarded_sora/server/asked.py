"""A request for a film as a client made it, and how it waits: encrypted in the log."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import orjson

from guarded_sora.audit.entry import Event
from guarded_sora.audit.log import AuditLog
from guarded_sora.keys import KeyRing
from guarded_sora.policies.finding import RequestContext
from guarded_sora.prompts import PromptRequest
from guarded_sora.records import context_document, context_from
from guarded_sora.server.access import Principal
from guarded_sora.server.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for a film as a client made it. ``seconds`` and ``size`` are the client's own words."""

    request: PromptRequest
    context: RequestContext
    model: str
    seconds: str
    size: str
    remixed_from: str | None = None

    def digest(self) -> bytes:
        """SHA-256 over everything that was asked, to tell a repetition from another request."""
        request = self.request
        parts = [request.words, request.seconds, request.size, request.seed, self.model, self.remixed_from]
        hashed = hashlib.sha256(orjson.dumps([*parts, context_document(self.context)]))
        for path in (request.image, request.video):
            if path is not None and self.remixed_from is None:
                with path.open("rb") as file:
                    hashed.update(hashlib.file_digest(file, "sha256").digest())
        return hashed.digest()

    def events(self, keys: KeyRing, principal: Principal, video_id: str, identity: str) -> list[Event]:
        """What the log keeps: the fact in clear, words and pictures encrypted and erasable."""
        request = self.request
        actor = keys.pseudonym("actor", self.context.actor)
        source = request.video if self.remixed_from is not None else None
        document = {
            "request": {
                "prompt": request.words,
                "seconds": request.seconds,
                "size": request.size,
                "seed": request.seed,
                "source": None if source is None else str(source),
            },
            "context": context_document(self.context),
        }
        accepted = Event(
            kind="video.accepted",
            actor=actor,
            subject=video_id,
            id=identity,
            body={
                **request.for_log(),
                "key": principal.key_id,
                "prompt_commitment": keys.commit(request.words),
                "remixed_from": self.remixed_from,
            },
            payload=orjson.dumps(document),
            owner=actor,
        )
        path = request.image or (request.video if source is None else None)
        if path is None:
            return [accepted]
        content = path.read_bytes()
        body = {
            "kind": "image" if request.image is not None else "video",
            "suffix": path.suffix[:6],
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        given = Event(
            kind="video.input", actor=actor, subject=video_id, body=body, payload=content, owner=actor
        )
        return [accepted, given]


def recall(
    log: AuditLog, accepted_seq: int, input_seq: int | None, folder: Path
) -> tuple[PromptRequest, RequestContext]:
    """What was asked, decrypted; its input file is laid into ``folder``.

    Raises:
        Problem: 409 when words or input were erased.
    """
    data = log.payload(accepted_seq)
    if data is None:
        raise Problem(409, "The request was erased before its film was made.", code="erased")
    document = orjson.loads(data)
    fields = document["request"]
    files: dict[str, Path] = {}
    if input_seq is not None:
        entry, content = log.read(input_seq), log.payload(input_seq)
        if content is None:
            raise Problem(409, "The input of this request was erased.", code="erased")
        kind = str(entry.body["kind"])
        files[kind] = folder / f"reference{entry.body['suffix']}"
        files[kind].write_bytes(content)
    elif fields["source"] is not None:
        files["video"] = Path(fields["source"])
    request = PromptRequest(
        prompt=fields["prompt"],
        seconds=fields["seconds"],
        size=tuple(fields["size"]) if fields["size"] else None,
        seed=fields["seed"],
        image=files.get("image"),
        video=files.get("video"),
    )
    return request, context_from(document["context"])


def words(log: AuditLog, accepted_seq: int) -> str | None:
    """The words of a request, for the person who sent them; None when they were erased."""
    data = log.payload(accepted_seq)
    return None if data is None else str(orjson.loads(data)["request"]["prompt"])
