"""New events don't overtake what the peer lacks: it would only have to hold them."""

from __future__ import annotations

from dtnode.link_info import LinkInfo
from dtnode.sync import PeerSync
from dtnode.sync.effects import Compare, Ingest, Load, Send, TellTips
from dtnode.wire.messages import RoomKind, Tips

ROOM = "!room"
INFO = LinkInfo(mtu_bytes=60_000, reliable=True)


def tips(*event_ids: str, reply: bool = False) -> Tips:
    return Tips(
        room_id=ROOM, room_version="12", kind=RoomKind.COMPLETE, tips=event_ids, reply=reply
    )


def test_news_wait_for_the_peers_tips_and_are_in_what_they_show() -> None:
    sync = PeerSync(peer="b", info=INFO)
    sync.start([tips("$2")], [], 0.0)
    assert sync.push(ROOM, ["$3"]) == []
    effects = sync.receive(tips("$1"), 1.0)
    assert effects == [Compare(tips=tips("$1"))]
    assert sync.compared(ROOM, ["$2", "$3"], cut=False) == [
        Load(room_id=ROOM, event_ids=("$2", "$3"))
    ]
    assert sync.push(ROOM, ["$4"]) == []  # queued behind them: one load at a time
    assert sync.lacks() == 1


def test_news_wait_while_only_part_of_a_difference_is_queued() -> None:
    sync = PeerSync(peer="b", info=INFO)
    sync.start([tips("$9")], [], 0.0)
    sync.receive(tips("$1"), 1.0)
    sync.compared(ROOM, ["$2"], cut=True)
    sync.push(ROOM, ["$10"])
    assert sync.lacks() == 0  # $2 is being loaded


def test_events_that_were_held_are_told_by_tips_once_they_are_complete() -> None:
    sync = PeerSync(peer="b", info=INFO)
    sync.start([tips("$1")], [], 0.0)

    def ingested(released: bool, missing: tuple[str, ...]) -> list[object]:
        found = sync.ingested(
            Ingest(batch=1, room_id=ROOM, room_version="12", pdus=(b"{}",), more=False),
            event_ids=("$2",),
            missing=missing,
            refused=(),
            judged=True,
            dropped=0,
            have=(),
            now=1.0,
            released=released,
        )
        return [effect for effect in found if not isinstance(effect, Send)]

    assert ingested(True, ()) == [TellTips(room_id=ROOM, reply=False)]
    assert ingested(False, ()) == []
    assert ingested(True, ("$0",)) == []  # not complete yet: they are wanted
