"""Any server that answers ``POST /v1/moderations`` in OpenAI's shape, asked about the prompt.

The prompt leaves this machine, so nothing is asked unless a card names the address. The key comes from an
environment variable and is never written down; redirects are not followed, the answer is bounded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from guarded_sora.policies.adapters.report import Reading, category_for, findings_of
from guarded_sora.policies.errors import ModelInvalid, ServiceFailed
from guarded_sora.policies.finding import Finding, RequestContext
from guarded_sora.policies.text.normalise import sanitise

MOST_BYTES: Final = 1 << 20


class ModerationsCheck:
    """A moderation server as a prompt check; what it flags counts as severity 2."""

    weights_sha256: str | None = None

    def __init__(
        self,
        *,
        name: str,
        url: str,
        model: str = "",
        key_env: str = "",
        timeout: float = 5.0,
        readings: Mapping[str, Reading] | None = None,
    ) -> None:
        """``readings``: how each of the server's labels is read; None takes its own flags and our crosswalk.

        Raises:
            ModelInvalid: the address is none, or a key would travel unencrypted to another machine.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ModelInvalid(f"{name} needs an address such as https://host/v1/moderations in its card.")
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme == "http" and not local:
            raise ModelInvalid(f"{name} would send prompts unencrypted; use https in its card.")
        self.name = name
        self.version = f"moderations-{model or 'default'}"
        self._url = url
        self._model = model
        self._key_env = key_env
        self._timeout = timeout
        self._readings = readings
        self.unavailable = ""
        if find_spec("httpx") is None:
            self.unavailable = "httpx is not installed; pip install 'guarded-sora[moderations]' brings it"
        elif key_env and not os.environ.get(key_env):
            self.unavailable = f"the environment variable {key_env} holds no key"

    def check(self, text: str, context: RequestContext) -> Sequence[Finding]:
        """Ask the server.

        Raises:
            ServiceFailed: it did not answer in time, or not in the shape it must.
        """
        answer = self._ask(sanitise(text))
        try:
            (result,) = answer["results"]
            flags, scores = dict(result["categories"]), dict(result.get("category_scores") or {})
            if not all(isinstance(flag, bool | None) for flag in flags.values()):
                raise TypeError("flags")
            labels = {
                label: float(scores.get(label, 1.0 if flags.get(label) else 0.0))
                for label in {**flags, **scores}
            }
            read = [
                (label, score, reading)
                for label, score in sorted(labels.items())
                if (reading := self._reading(label, bool(flags.get(label)))) is not None
            ]
            flagged = bool(result["flagged"])
            # Silence about what was asked for is no word that nothing was found.
            missing = [label for label in self._readings or () if label not in labels]
            if missing or not labels:
                raise KeyError("labels")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ServiceFailed(f"{self.name} answered in another shape than /v1/moderations.") from error
        found = findings_of(self.name, self.version, read)
        if flagged and not any(finding.severity for finding in found):
            raise ServiceFailed(f"{self.name} flagged something that no category of ours stands for.")
        return found

    def _reading(self, label: str, flagged: bool) -> Reading | None:
        if self._readings is not None:
            return self._readings.get(label)
        category = category_for("openai", label)
        # Its own bound is not known, only whether this score reached it.
        return None if category is None else Reading(category=category, at=0.0 if flagged else 2.0)

    def _ask(self, text: str) -> Any:
        import httpx

        headers = {"Authorization": f"Bearer {os.environ[self._key_env]}"} if self._key_env else {}
        body = {"input": text, **({"model": self._model} if self._model else {})}
        try:
            with (
                httpx.Client(timeout=self._timeout, follow_redirects=False, trust_env=False) as client,
                client.stream("POST", self._url, json=body, headers=headers) as response,
            ):
                if response.status_code != 200:
                    raise ServiceFailed(f"{self.name} answered with status {response.status_code}.")
                data = bytearray()
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > MOST_BYTES:
                        raise ServiceFailed(f"{self.name} answered with more than {MOST_BYTES:,} bytes.")
            return json.loads(bytes(data))
        except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
            # Without the cause's text: it may repeat what was asked.
            raise ServiceFailed(f"{self.name} did not answer ({type(error).__name__}).") from None
