import enum
import json
import math
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded_sora.audit import Event, uuid7
from guarded_sora.audit.entry import MAX_ENTRY, Commitment, from_row, prepare
from guarded_sora.audit.errors import AuditError, EntryInvalid, LogCorrupt


class Row(NamedTuple):
    """A row of ``events`` as the database gives it."""

    seq: int
    id: bytes
    ts: int
    kind: str
    actor: str
    subject: str
    body: bytes
    payload: bytes | None


def event(**changes):
    return Event(**{"kind": "test.made", "actor": "a", "subject": "s", **changes})


keys = st.text(st.characters(max_codepoint=127), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(keys, values, max_size=5), st.integers(0, 2**47))
def test_entry_is_canonical_and_comes_back(body, ts):
    made = event(body=body)
    canonical = prepare(made).entry(ts)
    document = json.loads(canonical)
    again = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    # The standard library escapes DEL-free text the same way as RFC 8785 does.
    assert canonical == again
    prepared = prepare(made)
    values = (7, prepared.id, ts, made.kind, made.actor, made.subject, prepared.body, None)
    entry = from_row(Row(*values))
    assert entry.canonical == canonical
    assert (entry.seq, entry.ts, entry.id, dict(entry.body)) == (7, ts, made.id, document["body"])
    assert document["body"] == body


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": ""},
        {"kind": "Upper.case"},
        {"kind": "two words"},
        {"kind": "k" * 65},
        {"kind": None},
        {"actor": ""},
        {"actor": "x" * 201},
        {"actor": "nul\x00"},
        {"subject": "line\nbreak"},
        {"subject": "\ud800"},
        {"owner": ""},
        {"id": "7"},
        {"id": "018F0000-0000-7000-8000-000000000000"},
        {"id": None},
        {"body": [1]},
        {"body": {"score": 0.5}},
        {"body": {"deep": [{"x": math.nan}]}},
        {"body": {"big": 2**53}},
        {"body": {"big": -(2**53)}},
        {"body": {"ключ": 1}},
        {"body": {1: 1}},
        {"body": {"text": "\ud800"}},
        {"body": {"raw": b"bytes"}},
        {"body": {"set": {1}}},
        {"body": {"text": "x" * MAX_ENTRY}},
    ],
    ids=repr,
)
def test_what_an_entry_cannot_hold_is_refused(changes):
    with pytest.raises(EntryInvalid) as error:
        prepare(event(**changes))
    message = str(error.value)
    assert message.endswith(".") and len(message) < 300
    assert isinstance(error.value, AuditError) and error.value.code == "audit.entry_invalid"


def test_a_float_is_named_with_its_place():
    with pytest.raises(EntryInvalid, match=r"body\.checks is a float"):
        prepare(event(body={"checks": [1, 0.25]}))


def test_nesting_has_a_limit():
    body = current = {}
    for _ in range(40):
        current["x"] = current = {}
    with pytest.raises(EntryInvalid, match="nested"):
        prepare(event(body=body))


def test_largest_entry():
    room = MAX_ENTRY - 30 - len(prepare(event(body={"t": ""})).head)
    assert len(prepare(event(body={"t": "x" * room})).entry(2**47)) <= MAX_ENTRY
    with pytest.raises(EntryInvalid, match="at most"):
        prepare(event(body={"t": "x" * (room + 1)}))


def test_text_enums_are_written_as_text():
    class Action(enum.StrEnum):
        BLOCK = "block"

    assert b'"action":"block"' in prepare(event(body={"action": Action.BLOCK})).head


def test_uuid7_is_in_order_of_time_and_never_twice():
    made = [uuid7() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(item[14] == "7" and item[19] in "89ab" and len(item) == 36 for item in made)
    assert made[0][:8] <= made[-1][:8]


def test_an_entry_with_payload_is_canonical_too():
    commitment = Commitment(hmac="ab" * 32, length=7)
    prepared = prepare(event(actor="ü€"), commitment, bytes(32))
    document = json.loads(prepared.entry(5))
    again = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert prepared.entry(5) == again and document["payload"] == {"hmac": "ab" * 32, "length": 7}
    row = Row(1, prepared.id, 5, "test.made", "ü€", "s", prepared.body, prepared.commitment)
    assert from_row(row).payload == commitment and from_row(row).canonical == again


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b""},
        {"body": b"{"},
        {"body": b"[]"},
        {"body": None},
        {"id": b"1"},
        {"payload": b"1"},
        {"actor": b"x"},
    ],
)
def test_broken_rows_are_corrupt_not_crashes(changes):
    row = Row(3, bytes(16), 1, "test.made", "a", "s", b"{}", None)._replace(**changes)
    with pytest.raises(LogCorrupt, match=r"events\.seq=3"):
        from_row(row)
