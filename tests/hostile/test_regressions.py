"""What hostile rooms have brought to light: for each a small room by hand, by what was wrong.

(A seed gives another room when the generator changes, so seeds aren't kept.) A room is written with
the generator's Maker, whose literal implementation is one side of the comparison; dtnode the other.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence

import pytest

from tests.hostile.agreement import Feed, differences
from tests.hostile.contents import Draft
from tests.hostile.generator import EPOCH_MS, Maker, Profile
from tests.hostile.literal_events import Json, canonical, unpadded

QUIET = Profile(
    events=0,
    servers=2,
    users_per_server=2,
    views=1,
    implausible=0,
    mischief=0,
    merge=0,
    anywhere=0,
    times="forward",
    federate=True,
    mood="talk",
    port=True,
)
A0, B0, A1 = "@a0:s0.test", "@b0:s0.test", "@a1:s1.test:8448"


class Room:
    """Written event by event; `tip` is the last one."""

    def __init__(self, version: str) -> None:
        self.maker = Maker(0, version, random.Random(0), QUIET)
        self.tip: list[str] = []
        creator = {"creator": A0} if int(version) <= 10 else {}
        self.create = self.add(A0, "m.room.create", "", {"room_version": version, **creator})
        if int(version) >= 12:
            self.maker.room_id = "!" + self.create[1:]
        self.join = self.add(A0, "m.room.member", A0, {"membership": "join"})

    def pdu(
        self,
        sender: str,
        type_: str,
        state_key: str | None,
        content: Json,
        *,
        prev: Sequence[str] | None = None,
        auth: Sequence[str] | None = None,
        ts: int | None = None,
    ) -> Json:
        draft = Draft(sender, type_, state_key, content)
        parents = self.tip if prev is None else prev
        if auth is None:
            auth = self.maker.auth_events_in(draft, self.maker.room.state_over(parents))
        return self.maker.finish(draft, parents, auth, ts=ts)

    def write(self, pdu: Json) -> str:
        event_id = self.maker.write(pdu).event_id
        assert event_id is not None
        self.tip = [event_id]
        return event_id

    def add(
        self, sender: str, type_: str, state_key: str | None, content: Json, **more: Sequence[str]
    ) -> str:
        return self.write(self.pdu(sender, type_, state_key, content, **more))  # type: ignore[arg-type]

    def levels(self) -> str:
        return self.maker.room.state_over(self.tip)["m.room.power_levels", ""]

    def verdict(self, event_id: str) -> str:
        return self.maker.room.verdicts[event_id]

    def lines(self) -> list[bytes]:
        return self.maker.room_file().lines

    def assert_agreement(self) -> None:
        assert differences(self.lines(), shuffles=4) == []


@pytest.mark.parametrize("version", ["3", "10", "11"])
def test_a_create_event_that_lists_a_message(version: str) -> None:
    """No rule looks at a second create event's auth_events; a message there must not raise."""
    room = Room(version)
    message = room.add(A0, "m.room.message", None, {"body": "hello"})
    content = {"creator": A0}
    again = room.add(A0, "m.room.create", "", content, prev=[], auth=[message])
    assert room.verdict(again) == "accepted"
    room.add(A0, "m.room.message", None, {"body": "both"}, prev=[message, again])
    room.assert_agreement()


@pytest.mark.parametrize("version", ["3", "10", "11"])
def test_a_rejected_event_in_a_create_event_s_auth_chain(version: str) -> None:
    """It gets into the full conflicted set, but must not get into the state."""
    room = Room(version)
    doubled = [room.create, room.join, room.join]
    rules = room.add(A0, "m.room.join_rules", "", {"join_rule": "public"}, auth=doubled)
    assert room.verdict(rules) == "rejected"
    again = room.add(A0, "m.room.create", "", {"creator": A0}, prev=[], auth=[rules])
    room.add(A0, "m.room.message", None, {"body": "both"}, prev=[room.join, again])
    assert rules not in room.maker.room.state_over([room.join, again]).values()
    room.assert_agreement()


@pytest.mark.parametrize("version", ["3", "10"])
def test_the_power_of_a_create_event_s_sender(version: str) -> None:
    """Looking at its auth_events, nothing says that it is 100: all create events stand at 0."""
    room = Room(version)
    content = {"creator": A0}
    late = room.pdu(A0, "m.room.create", "", content, prev=[], auth=[], ts=EPOCH_MS + 90_000)
    early = room.pdu(B0, "m.room.create", "", content, prev=[], auth=[], ts=EPOCH_MS + 80_000)
    ids = [room.join, room.write(late), room.write(early)]
    assert room.maker.room.state_over(ids)["m.room.create", ""] == ids[1]
    room.assert_agreement()


def test_the_power_levels_that_a_create_event_lists() -> None:
    """They count for the power of its sender, though no create event stands beside them."""
    room = Room("11")
    levels = room.add(A0, "m.room.power_levels", "", {"users": {A0: 100, B0: 50}})
    listing = room.pdu(A0, "m.room.create", "", {}, prev=[], auth=[levels], ts=EPOCH_MS + 90_000)
    bare = room.pdu(B0, "m.room.create", "", {}, prev=[], auth=[], ts=EPOCH_MS + 80_000)
    ids = [levels, room.write(listing), room.write(bare)]
    assert room.maker.room.state_over(ids)["m.room.create", ""] == ids[2]
    room.assert_agreement()


def test_a_server_acl_and_a_port() -> None:
    """ "The suspect server's port number must not be considered." """
    room = Room("11")
    room.add(A0, "m.room.join_rules", "", {"join_rule": "public"})
    room.add(A1, "m.room.member", A1, {"membership": "join"})
    room.add(A0, "m.room.server_acl", "", {"allow": ["*"], "deny": ["s1.test"]})
    message = room.add(A1, "m.room.message", None, {"body": "denied"})
    assert message in room.maker.room.soft_failed
    room.assert_agreement()


def test_a_whole_copy_that_turns_verdicts_around() -> None:
    """Up to version 10 redaction takes `invite` from power levels."""
    room = Room("10")
    room.add(A0, "m.room.join_rules", "", {"join_rule": "public"})
    levels = room.pdu(A0, "m.room.power_levels", "", {"users": {A0: 100}, "invite": 50})
    tampered = copy.deepcopy(levels)
    tampered["content"]["invite"] = 0
    room.write(tampered)
    room.add(A1, "m.room.member", A1, {"membership": "join"})
    invite = room.add(A1, "m.room.member", B0, {"membership": "invite"})
    assert room.verdict(invite) == "accepted"
    room.write(levels)
    assert room.verdict(invite) == "rejected"
    room.assert_agreement()


def test_a_redacted_form_that_is_the_whole_event() -> None:
    """Where only what was forged is taken away, nothing is missing."""
    room = Room("11")
    levels = room.pdu(A0, "m.room.power_levels", "", {"users": {A0: 100}})
    event_id = room.write({**levels, "forged": "by a relay"})
    assert not room.maker.room.events[event_id].redacted
    feed = Feed(room.lines()[0], str(room.maker.room_id))
    feed.receive(room.lines()[1:])
    event = feed.store.events.get(event_id)
    feed.store.close()
    assert event is not None
    assert not event.pdu.redacted


@pytest.mark.parametrize("version", ["3", "9"])
@pytest.mark.parametrize("nothing", [[], ""])
def test_levels_of_events_that_are_no_object(version: str, nothing: object) -> None:
    """Before version 10 no rule forbids it: there are no entries to compare in an empty array or
    text, and every event whose level is looked up there is refused."""
    room = Room(version)
    room.add(A0, "m.room.power_levels", "", {"users": {A0: 100}})
    content = {"users": {A0: 100}, "events": nothing}
    assert room.verdict(room.add(A0, "m.room.power_levels", "", content)) == "accepted"
    assert room.verdict(room.add(A0, "m.room.message", None, {"body": "?"})) == "rejected"
    room.assert_agreement()


@pytest.mark.parametrize("version", ["6", "9"])
def test_notifications_that_are_an_array(version: str) -> None:
    """Its integers are levels by index, guarded like others."""
    room = Room(version)
    room.add(A0, "m.room.power_levels", "", {"users": {A0: 100, B0: 50}, "state_default": 50})
    room.add(A0, "m.room.join_rules", "", {"join_rule": "public"})
    room.add(B0, "m.room.member", B0, {"membership": "join"})
    listed = {**room.maker.room.events[room.levels()].content, "notifications": [1, 60]}
    assert room.verdict(room.add(B0, "m.room.power_levels", "", listed)) == "rejected"
    listed["notifications"] = [1, 1]
    assert room.verdict(room.add(B0, "m.room.power_levels", "", listed)) == "accepted"
    assert room.verdict(room.add(B0, "m.room.message", None, {"body": "!"})) == "accepted"
    room.assert_agreement()


@pytest.mark.parametrize("version", ["3", "9"])
def test_a_membership_where_a_level_is_no_number(version: str) -> None:
    """Before version 10: even a join of a joined member, which needs no level."""
    room = Room(version)
    room.add(A0, "m.room.power_levels", "", {"users": {A0: 100}, "ban": {}})
    again = {"membership": "join", "displayname": "again"}
    assert room.verdict(room.add(A0, "m.room.member", A0, again)) == "rejected"
    assert room.verdict(room.add(A0, "m.room.message", None, {"body": "!"})) == "accepted"
    room.assert_agreement()


@pytest.mark.parametrize("version", ["3", "9"])
def test_a_redaction_where_the_redact_level_is_no_number(version: str) -> None:
    room = Room(version)
    content = {"users": {A0: 100, B0: 50}, "redact": "fifty"}
    room.add(A0, "m.room.power_levels", "", content)
    assert room.verdict(room.add(A0, "m.room.redaction", None, {})) == "rejected"
    room.assert_agreement()


@pytest.mark.parametrize("version", ["3", "9"])
@pytest.mark.parametrize("text", ["5_0", "\u0665\u0660", "\u00a050", "\x1f50"])
def test_text_that_only_some_read_as_a_number(version: str, text: str) -> None:
    """What Python's `int` reads, which isn't what a regular expression's \\s and [0-9] match."""
    room = Room(version)
    levels = {"users": {A0: 100}, "events_default": text}
    room.add(A0, "m.room.power_levels", "", levels)
    said = room.add(A0, "m.room.message", None, {"body": "!"})
    assert room.verdict(said) == ("rejected" if text == "\x1f50" else "accepted")
    room.assert_agreement()


@pytest.mark.parametrize("version", ["3", "6"])
def test_a_depth_beyond_canonical_json(version: str) -> None:
    """Before version 6 the event format allows it; deployed servers drop it."""
    room = Room(version)
    pdu = {**room.pdu(A0, "m.room.message", None, {"body": "deep"}), "depth": 2**53}
    assert room.maker.write(room.maker.sign(pdu, ["s0.test"])).verdict == "dropped"
    room.assert_agreement()


@pytest.mark.parametrize("version", ["3", "9", "12"])
def test_a_third_party_invite_of_two_signatures(version: str) -> None:
    """The specification wants any of them to match a key, deployed servers the first one."""
    room = Room(version)
    seed = room.maker.invite_key
    key = unpadded(bytes(seed.verify_key))
    room.add(A0, "m.room.third_party_invite", "t", {"public_keys": [{"public_key": key}]})
    signed = {"mxid": A1, "token": "t"}
    good, bad = unpadded(seed.sign(canonical(signed)).signature), unpadded(bytes(64))
    for first, second, verdict in ((bad, good, "rejected"), (good, bad, "accepted")):
        signatures = {"id.test": {"ed25519:0": first, "ed25519:1": second}}
        invite = {"signed": {**signed, "signatures": signatures}}
        content = {"membership": "invite", "third_party_invite": invite}
        assert room.verdict(room.add(A0, "m.room.member", A1, content)) == verdict
    room.assert_agreement()


@pytest.mark.parametrize("version", ["3", "12"])
@pytest.mark.parametrize(("levels", "verdict"), [(125, "accepted"), (126, "dropped")])
def test_deeply_nested_content(version: str, levels: int, verdict: str) -> None:
    room = Room(version)
    nested: list[object] = []
    for _ in range(levels - 1):
        nested = [nested]
    pdu = room.pdu(A0, "m.room.message", None, {"nested": nested})
    assert room.maker.write(pdu).verdict == verdict
    room.assert_agreement()


@pytest.mark.parametrize(
    ("version", "levels"),
    [
        ("3", {"users": {A0: 100, B0: 50, "nobody": 1}}),
        ("9", {"users": {A0: 100, "nobody": 1}, "users_default": "50"}),
        ("10", {"users": {A0: 100, B0: "50"}}),
        ("11", {"users": {A0: 100}, "users_default": True}),
        ("11", {"users": [B0], "users_default": 50}),
    ],
)
def test_rejected_power_levels_that_a_create_event_lists(version: str, levels: Json) -> None:
    """They count for the power of its sender all the same, by what is written in them."""
    room = Room(version)
    rejected = room.add(A0, "m.room.power_levels", "", levels)
    assert room.verdict(rejected) == "rejected"
    content = {"creator": A0}
    listing = room.pdu(
        B0, "m.room.create", "", content, prev=[], auth=[rejected], ts=EPOCH_MS + 90_000
    )
    bare = room.pdu(A0, "m.room.create", "", content, prev=[], auth=[], ts=EPOCH_MS + 80_000)
    ids = [room.join, room.write(listing), room.write(bare)]
    assert room.maker.room.state_over(ids)["m.room.create", ""] == ids[2]
    room.add(A0, "m.room.message", None, {"body": "all"}, prev=ids)
    room.assert_agreement()
