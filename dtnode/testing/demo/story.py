"""What happens in the demo: a room over six nodes in a line, the line cut in the middle, conflicts
on purpose, the line mended, and what must be true in the end.

    alice -- bob -- carol --/ /-- dave -- erin -- frank

The story stops at the first thing that fails; what it found so far is in its report either way.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from dtnode.testing.demo.findings import (
    Conflict,
    Deed,
    Names,
    by_key,
    conflicts,
    deeds,
    judged_room,
)
from dtnode.testing.demo.processes import (
    NodeFailed,
    NodeProcess,
    dial,
    introduce,
    listen,
    start_all,
    wait_until,
)

Json = dict[str, Any]
T = TypeVar("T")

LEFT, RIGHT = ("alice", "bob", "carol"), ("dave", "erin", "frank")
EVERYBODY = LEFT + RIGHT
STAYING = EVERYBODY[:-1]  # frank is banned
CUT = ("carol", "dave")
ROOM = "harbour"

PATIENCE_S = 20.0  # for anything to get everywhere; on a slow, busy machine it takes about 3
LATER_S = 2.0  # how long frank is watched for what he must not get
MODERATOR = 50
_AT_A_TIME = 4  # commands at once: small machines have two to four cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    what: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    at_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What one node had of the room. tips: sorted event ids; tip_state: hex SHA-256."""

    membership: str
    events: int
    soft_failed: int
    tips: tuple[str, ...]
    tip_state: str
    members: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What went over one hop from the mending until all agreed: frames with everything in them
    (but for TCP itself), the handshake too where the link was new. Events sent twice count twice.
    back: towards alice. bytes_per_event: all bytes, both ways, for each event of either; None: no
    events."""

    between: tuple[str, str]
    new_link: bool
    events_there: int
    events_back: int
    bytes_there: int
    bytes_back: int
    bytes_per_event: float | None
    turnarounds: int


@dataclass(slots=True, kw_only=True)
class Report:
    """views: "together", "apart", "end" -> node -> View. news: side -> events that were new to it
    after the mending. across: where the bytes across the cut went, as `dtnode link trace --summary
    --json` has it at dave (incoming: to dave)."""

    nodes: dict[str, str] = field(default_factory=dict)
    room_id: str = ""
    room_version: str = ""
    steps: list[Step] = field(default_factory=list)
    views: dict[str, dict[str, View]] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    across: list[Json] = field(default_factory=list)
    mended_in_s: float | None = None
    news: dict[str, int] = field(default_factory=dict)
    deeds: list[Deed] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    seconds: float = 0.0


class CheckFailed(Exception):
    """A check of the story didn't hold; it stands in the report. node: whose log may tell why."""

    def __init__(self, text: str, node: NodeProcess) -> None:
        super().__init__(text)
        self.node = node


class Story:
    """tell: called with each step and check as it happens."""

    def __init__(self, root: Path, tell: Callable[[Step | Check], None]) -> None:
        self.nodes = {name: NodeProcess(name, root) for name in EVERYBODY}
        self.report = Report()
        self._root = root
        self._tell = tell
        self._began = time.monotonic()
        self._addresses: dict[str, str] = {}
        self._dialled: dict[str, str] = {}
        self._said: list[str] = []
        self._room_id = ""
        self._together_ids: frozenset[str] = frozenset()

    def run(self) -> None:
        """NodeFailed, CheckFailed. The processes are the caller's to end (processes.end_all)."""
        try:
            self._set_up()
            self._together()
            before = by_key(self.nodes["alice"].state(self._room_id))
            self._apart()
            left, right = (by_key(self.nodes[name].state(self._room_id)) for name in CUT)
            self._mend()
            self._agree(before, left, right)
            self._nothing_later()
        finally:
            self.report.seconds = self._now_s()

    # --- acts

    def _set_up(self) -> None:
        self._step("six nodes, each with a key, a data folder and a process of its own")
        self._for_each(EVERYBODY, NodeProcess.init)
        self.report.nodes = {name: node.server_name for name, node in self.nodes.items()}
        for node in self._some(EVERYBODY[:-1]):
            self._addresses[node.name] = listen(node)
        for neighbour, name in pairwise(EVERYBODY):
            self._dialled[name] = dial(self.nodes[name], self._addresses[neighbour])
        start_all(self.nodes.values())
        for one, other in pairwise(EVERYBODY):
            introduce(self.nodes[one], self.nodes[other])
        self._step(f"a line over TCP: {' -- '.join(EVERYBODY)}; each knows its neighbours only")

    def _together(self) -> None:
        alice = self.nodes["alice"]
        self._room_id = alice.cli("room", "create", ROOM).strip()
        self.report.room_id = self._room_id
        self._step(f'alice makes the room "{ROOM}" and invites the five others')
        for name in EVERYBODY[1:]:
            alice.cli("room", "invite", ROOM, self.nodes[name].user_id)
        self._set_powers({"bob": MODERATOR, "dave": MODERATOR, "erin": MODERATOR})
        self._step("alice makes bob, dave and erin moderators")
        for name in EVERYBODY[1:]:
            self._await_invite(name)
            self.nodes[name].cli("room", "join", ROOM)
        self._step("the invites travel along the line; all join, without asking anybody")
        self._talk({name: [f"{name} is here"] for name in EVERYBODY})
        self._check_equal("together: all six have the same tips and the same tip state", EVERYBODY)
        self._look("together")
        room = alice.room(self._room_id)
        assert room is not None
        self.report.room_version = room["version"]
        self._check_whole(EVERYBODY)
        self._together_ids = frozenset(event["event_id"] for event in alice.events(self._room_id))

    def _apart(self) -> None:
        dave = self.nodes["dave"]
        dave.cli("link", "remove", self._dialled["dave"])
        self._await_gone()
        self._step("THE LINE IS CUT between carol and dave")
        # The right side acts first and the left later, so that the clocks can't be what decides.
        self._act("erin", "set", "m.room.topic", '{"topic": "we meet at the lighthouse"}')
        self._act("dave", "ban", self.nodes["carol"].user_id, "--reason", "spreads rumours")
        self._talk(
            {
                "dave": ["storm over the lighthouse", "no word from the others"],
                "erin": ["two boats are back", "the radio is silent"],
                "frank": ["frank sees a light", "frank goes to look", "frank found nothing"],
            }
        )
        self._step("right: erin sets the topic; dave bans carol; dave, erin and frank talk")
        self._set_powers({"bob": MODERATOR, "erin": MODERATOR})
        self._act("bob", "set", "m.room.topic", '{"topic": "we meet at the old mill"}')
        self._act("alice", "ban", self.nodes["frank"].user_id, "--reason", "sank a boat")
        self._talk(
            {
                "alice": ["the mill has room for all", "bring water"],
                "bob": ["the road is open", "lamps are lit"],
                "carol": ["carol brings bread", "carol is at the mill"],
            }
        )
        self._step("left: alice demotes dave, bans frank; bob sets the topic; all three talk")
        self._check_equal("apart: alice, bob and carol agree", LEFT)
        self._check_equal("apart: dave, erin and frank agree", RIGHT)
        self._look("apart")
        views = self.report.views["apart"]
        self._check(
            "apart: the two sides don't agree",
            views["alice"].tips != views["frank"].tips
            and views["alice"].tip_state != views["frank"].tip_state,
        )

    def _mend(self) -> None:
        hops = list(pairwise(EVERYBODY))
        before = {hop: self._traffic(hop) for hop in hops if hop != CUT}
        self._dialled["dave"] = dial(self.nodes["dave"], self._addresses["carol"])
        self._step("THE LINE IS MENDED")
        self.report.mended_in_s = self._check_equal(
            "mended: alice, bob, carol, dave and erin have the same tips and the same tip state",
            STAYING,
        )
        self._await(
            "frank's node knows that he is banned", "frank", lambda: self._stands("frank") == "ban"
        )
        for hop in hops:
            self.report.exchanges.append(
                _exchange(hop, before.get(hop), self._traffic(hop), new_link=hop == CUT)
            )
        (link,) = self.nodes["dave"].json("link", "trace", self._dialled["dave"], "--summary")
        self.report.across = [row for one in link["connections"] for row in one["rows"]]

    def _agree(self, before: Any, left: Any, right: Any) -> None:
        self._look("end")
        for side, name in zip(("left", "right"), CUT, strict=True):
            apart, end = (self.report.views[when][name].events for when in ("apart", "end"))
            self.report.news[side] = end - apart
        self._check_whole(STAYING)
        final = {name: by_key(self.nodes[name].state(self._room_id)) for name in STAYING}
        ids = [sorted(event["event_id"] for event in final[name].values()) for name in STAYING]
        self._check("the state people see is the same on all five", all(x == ids[0] for x in ids))
        rooms = self._for_each(
            STAYING,
            lambda node: judged_room(node, self._room_id, self._root / f"{node.name}.jsonl"),
        )
        shared = set(rooms["alice"]).intersection(*rooms.values())
        self._check(
            "audit of each of the five room files: the same events, none rejected",
            all(set(room) == shared for room in rooms.values())
            and all(
                judged.verdict in ("accepted", "soft-failed")
                for room in rooms.values()
                for judged in room.values()
            ),
        )
        self.report.deeds = deeds(
            rooms, self._apart_ids(rooms["alice"]), final["alice"], self._names
        )
        self.report.conflicts = conflicts(
            before=before,
            left=left,
            right=right,
            final=final["alice"],
            room=rooms["alice"],
            names=self._names,
        )
        self._check_outcome(final["alice"])

    def _check_outcome(self, final: dict[tuple[str, str], Json]) -> None:
        def membership(name: str) -> str:
            member = final["m.room.member", self.nodes[name].user_id]
            return str(member["content"]["membership"])

        topic = final["m.room.topic", ""]["content"]["topic"]
        self._check("one topic: bob's, on the newer powers", topic == "we meet at the old mill")
        self._check("carol is in: who banned her had lost the right", membership("carol") == "join")
        self._check("frank is out, for all", membership("frank") == "ban")
        marked = [
            event
            for event in self.nodes["erin"].events(self._room_id)
            if event["sender"] == self.nodes["frank"].user_id
            and event["unsigned"].get("org.dtnode", {}).get("apart")
        ]
        self._check(
            "what frank said on the far side is kept, and marked as sent while apart",
            len([event for event in marked if event["type"] == "m.room.message"]) == 3,
        )

    def _nothing_later(self) -> None:
        frank = self.nodes["frank"]
        before = self._traffic(("erin", "frank"))
        texts = frank.texts(self._room_id)
        later = {"alice": ["later from alice"], "erin": ["later from erin"]}
        self._talk(later)
        self._step("alice and erin talk on, without frank")
        self._check_equal("later: the five still agree", STAYING)
        time.sleep(LATER_S)
        after = self._traffic(("erin", "frank"))
        self._check(
            "frank's node gets nothing of it",
            frank.texts(self._room_id) == texts
            and after["events_in"] == before["events_in"]
            and not set(texts) & {text for lines in later.values() for text in lines},
        )
        refused = frank.try_cli("send", ROOM, "let me in")
        self._check(
            "frank's own node refuses to send for him",
            refused.returncode == 1,
            refused.stderr.strip(),
        )

    # --- what people do

    def _act(self, name: str, command: str, *args: str) -> None:
        self.nodes[name].cli("room", command, ROOM, *args)

    def _talk(self, lines: dict[str, list[str]]) -> None:
        for name, texts in lines.items():
            self.nodes[name].cli("send", ROOM, "-", text="".join(f"{text}\n" for text in texts))
            self._said += texts

    def _set_powers(self, levels: dict[str, int]) -> None:
        alice = self.nodes["alice"]
        content = alice.json("room", "state", ROOM, "m.room.power_levels")
        content["users"] = {self.nodes[name].user_id: level for name, level in levels.items()}
        alice.cli("room", "set", ROOM, "m.room.power_levels", json.dumps(content))

    # --- waiting and looking

    def _some(self, names: Iterable[str]) -> list[NodeProcess]:
        return [self.nodes[name] for name in names]

    def _for_each(self, names: Iterable[str], act: Callable[[NodeProcess], T]) -> dict[str, T]:
        """What `act` returns for each node, done for several at a time."""
        names = list(names)
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            return dict(zip(names, pool.map(act, self._some(names)), strict=True))

    @property
    def _names(self) -> Names:
        return {node.user_id: name for name, node in self.nodes.items()}

    def _stands(self, name: str) -> str | None:
        room = self.nodes[name].room(self._room_id)
        return None if room is None else room["membership"]

    def _await(self, what: str, name: str, true: Callable[[], bool]) -> None:
        if wait_until(true, PATIENCE_S) is None:
            raise CheckFailed(f"not within {PATIENCE_S:.0f} s: {what}", self.nodes[name])

    def _await_invite(self, name: str) -> None:
        self._await(f"{name} is invited", name, lambda: self._stands(name) == "invite")

    def _await_gone(self) -> None:
        """Until both ends have seen that the link is gone."""
        left, right = self._some(CUT)

        def connected(node: NodeProcess, other: NodeProcess) -> bool:
            return any(
                peer["connected"]
                for peer in node.status()["peers"]
                if peer["server_name"] == other.server_name
            )

        self._await("the link is down", "carol", lambda: not connected(left, right))
        self._await("the link is down", "dave", lambda: not connected(right, left))

    def _view(self, name: str) -> View | None:
        room = self.nodes[name].room(self._room_id)
        if room is None:
            return None
        return View(
            membership=room["membership"],
            events=room["events"],
            soft_failed=room["soft_failed"],
            tips=tuple(room["tips"]),
            tip_state=room["tip_state"],
            members=room["members"],
        )

    def _look(self, when: str) -> None:
        views = {name: self._view(name) for name in EVERYBODY}
        self.report.views[when] = {name: view for name, view in views.items() if view is not None}

    def _check_equal(self, what: str, names: Iterable[str]) -> float | None:
        """Waits until the tips and the tip state of all are equal, everything said among them."""
        names = list(names)

        def differing() -> list[str]:
            views = {name: self._view(name) for name in names}
            first = views[names[0]]
            return [
                name
                for name, view in views.items()
                if view is None
                or first is None
                or (view.tips, view.tip_state) != (first.tips, first.tip_state)
            ]

        took = wait_until(lambda: not differing(), PATIENCE_S)
        self._check(
            what,
            took is not None,
            "" if took is not None else f"{', '.join(differing())} differ from {names[0]}",
            name=names[0] if took is not None else differing()[0],
        )
        return took

    def _check_whole(self, names: Iterable[str]) -> None:
        for name in names:
            self._check(
                f"everything said so far is with {name}, each once",
                sorted(self.nodes[name].texts(self._room_id)) == sorted(self._said),
                name=name,
                quiet=True,
            )

    def _apart_ids(self, room: Iterable[str]) -> list[str]:
        """The events made while apart, in the order of alice's room file."""
        return [event_id for event_id in room if event_id not in self._together_ids]

    def _traffic(self, hop: tuple[str, str]) -> Json:
        """Counters of the connection between two neighbours, by the one that dialled."""
        left, right = self._some(hop)
        for entry in right.link(self._dialled[right.name])["traffic"]:
            if entry["peer"] == left.server_name:
                found: Json = entry
                return found
        raise NodeFailed(right, f"isn't connected with {left.name}")

    def _check(
        self, what: str, ok: bool, detail: str = "", *, name: str = "alice", quiet: bool = False
    ) -> None:
        check = Check(what=what, ok=ok, detail=detail)
        if not ok or not quiet:
            self.report.checks.append(check)
            self._tell(check)
        if not ok:
            raise CheckFailed(f"{what}: {detail}" if detail else what, self.nodes[name])

    def _step(self, text: str) -> None:
        step = Step(at_s=self._now_s(), text=text)
        self.report.steps.append(step)
        self._tell(step)

    def _now_s(self) -> float:
        return round(time.monotonic() - self._began, 2)


def _exchange(
    hop: tuple[str, str], before: Json | None, after: Json, *, new_link: bool
) -> Exchange:
    """From the counters of the hop's right end, which dialled: its "in" went away from alice."""

    def change(counter: str) -> int:
        value: int = after[counter] - (before[counter] if before else 0)
        return value

    events = change("events_in") + change("events_out")
    size_bytes = change("bytes_in") + change("bytes_out")
    return Exchange(
        between=hop,
        new_link=new_link,
        events_there=change("events_in"),
        events_back=change("events_out"),
        bytes_there=change("bytes_in"),
        bytes_back=change("bytes_out"),
        bytes_per_event=round(size_bytes / events, 1) if events else None,
        turnarounds=change("turnarounds"),
    )
