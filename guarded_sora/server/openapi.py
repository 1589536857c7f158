"""Descriptions of bodies and answers that are read by hand, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from guarded_sora.server.problems import documented

_TEXT: dict[str, Any] = {"type": "string"}
_GUARD: dict[str, Any] = {
    "type": "object",
    "description": "What is known of the person who asks.",
    "properties": {
        "age_tier": {"enum": ["minor", "adult", "verified_adult", "unknown"]},
        "region": _TEXT,
        "locale": _TEXT,
        "consents": {"type": "array", "items": _TEXT},
    },
}
_CREATE: dict[str, Any] = {
    "type": "object",
    "required": ["prompt"],
    "properties": {
        "prompt": _TEXT,
        "model": _TEXT,
        "seconds": {"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3})?$"},
        "size": {"type": "string", "pattern": "^[0-9]{2,4}x[0-9]{2,4}$"},
        "seed": {"type": "integer"},
        "user": _TEXT,
        "guard": _GUARD,
    },
}


def _form(schema: dict[str, Any], name: str) -> dict[str, Any]:
    properties = {key: value for key, value in schema["properties"].items() if key != "guard"}
    return {**schema, "properties": {**properties, name: {"type": "string", "format": "binary"}}}


CREATE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _CREATE},
            "multipart/form-data": {"schema": _form(_CREATE, "input_reference")},
        },
    }
}
REMIX_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "required": ["prompt"], "properties": {"prompt": _TEXT}}
            }
        },
    }
}
MODERATION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["input"],
                    "properties": {
                        "model": _TEXT,
                        "input": {
                            "oneOf": [
                                _TEXT,
                                {"type": "array", "items": _TEXT},
                                {"type": "array", "items": {"type": "object"}},
                            ]
                        },
                    },
                }
            }
        },
    }
}
VERIFY_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}


def video_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A video object, or one of ``statuses`` beside 401 and 403."""
    return {200: {"description": "A video object."}, **documented(401, 403, 408, *statuses)}


def page_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """A page of video objects."""
    return {200: {"description": "A page of video objects."}, **documented(401, 403, *statuses)}


BINDING_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["alg", "value"],
                    "properties": {"alg": _TEXT, "value": _TEXT},
                }
            }
        },
    }
}
CONTENT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "video/mp4": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
