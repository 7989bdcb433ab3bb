"""Rooms to measure with: five servers that talk, the same for the same arguments."""

from __future__ import annotations

import random
from dataclasses import dataclass

from dtnode.testing.rooms_builder import RoomBuilder

PEOPLE = ("alice", "bob", "carol", "dan", "eve")

_TALK = (
    "the boat is back from north camp with water and two batteries radio check at nine tomorrow"
    " please bring rope and the long ladder nobody answers on channel four we are fine here rain"
    " since morning road closed by the bridge medicine arrived thanks see you all tonight"
)
_WORDS = _TALK.split()

_FORKS = 0.1  # of the messages are written at the same time as the one before: a usual chat


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeRoom:
    """setup: PDUs up to the last join. messages: PDUs of chat messages after them."""

    room_id: str
    version: str
    setup: list[bytes]
    messages: list[bytes]


def chat_room(version: str, messages: int) -> MadeRoom:
    """A room of five people on five servers, texts of 30 to 80 characters."""
    rng = random.Random(f"{version} {messages}")
    builder = RoomBuilder(*PEOPLE, version=version)
    setup = builder.canonical()
    written: list[bytes] = []
    parents = builder.heads
    for _ in range(messages):
        sender = rng.choice(PEOPLE)
        if rng.random() >= _FORKS:
            parents = builder.heads
        pdu = builder.message(sender, text_of(rng), parents=parents)
        written.append(pdu.canonical())
    assert builder.room_id is not None
    return MadeRoom(room_id=builder.room_id, version=version, setup=setup, messages=written)


def text_of(rng: random.Random) -> str:
    text = rng.choice(_WORDS)
    length = rng.randint(30, 80)
    while len(text) < length:
        text += " " + rng.choice(_WORDS)
    return text[:length]
