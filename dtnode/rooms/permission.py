"""Which rooms may go over links that others can read (clear and open ones, DESIGN section 6).

The user permits rooms one by one. A room that becomes encrypted loses the permission, unless it was
given in the knowledge of that. Not here: what is told over a link, which dtnode.rooms.sharing
decides by this.
"""

from __future__ import annotations

from dtnode.errors import DtnodeError
from dtnode.rooms.names import state_to_show
from dtnode.rooms.state import RoomStates
from dtnode.store import ClearLinks, RoomKind, RoomRecord, Store

_ENCRYPTION = ("m.room.encryption", "")


class RoomIsEncrypted(DtnodeError):
    """An encrypted room isn't permitted for links that others can read just like that."""


def is_encrypted(store: Store, states: RoomStates, room: RoomRecord, user_id: str) -> bool:
    """By the current state, and by what a card shows of a room whose state isn't here. user_id:
    this node's user."""
    if states.event(room.current_group, *_ENCRYPTION) is not None:
        return True
    return room.kind is RoomKind.INVITED and _ENCRYPTION in state_to_show(
        store, states, room, user_id
    )


def clear_links(store: Store, states: RoomStates, room: RoomRecord, user_id: str) -> ClearLinks:
    """The permission as it counts now."""
    given = room.clear_links
    if given is ClearLinks.PERMITTED and is_encrypted(store, states, room, user_id):
        return ClearLinks.ENDED
    return given


def permit_clear(
    store: Store,
    states: RoomStates,
    room: RoomRecord,
    user_id: str,
    *,
    permitted: bool,
    although_encrypted: bool,
) -> None:
    """RoomIsEncrypted: it is, and `although_encrypted` isn't said. That the user knows of it is
    remembered for encrypted rooms alone: what isn't encrypted now may become it unexpectedly."""
    encrypted = permitted and is_encrypted(store, states, room, user_id)
    if encrypted and not although_encrypted:
        raise RoomIsEncrypted(
            "this room is encrypted. Over a clear or open link everybody who hears it would learn"
            " who is in the room, who writes when and how much; and sending encrypted messages is"
            " forbidden on amateur radio bands. If that is what you want, say so with"
            " --although-encrypted"
        )
    given = ClearLinks.PERMITTED if permitted else ClearLinks.NO
    if encrypted:
        given = ClearLinks.ALTHOUGH_ENCRYPTED
    store.rooms.set_clear_links(room.nid, given)


def end_if_encrypted(store: Store, states: RoomStates, room_nid: int) -> None:
    """To be called when a room's current state has changed. Once encrypted, the permission stays
    ended: a resolution may take the encryption away again, and what was said meanwhile was said by
    people who saw an encrypted room."""
    room = store.rooms.by_nid(room_nid)
    if room.clear_links is ClearLinks.PERMITTED and states.event(room.current_group, *_ENCRYPTION):
        store.rooms.set_clear_links(room_nid, ClearLinks.ENDED)
