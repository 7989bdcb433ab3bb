"""`dtnode status` in words. Pure: the node's answer (GET /_dtnode/v1/status) in, lines out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from shlex import quote
from typing import Any

from dtnode.cli.output import ago, count, local_time, printable

Json = dict[str, Any]

_READABLE = {"clear": "; clear, others can read it", "open": "; open, anyone can read it"}

_CLEAR_LINKS = {
    "yes": "It goes over clear and open links too, where others can read it",
    "ended": "It became encrypted, so it doesn't go over clear and open links any more; see: dtnode"
    " room permit --help",
}


def status_lines(status: Json, data_path: str) -> list[str]:
    """The whole report. Names of other people come out escaped, nothing shortened."""
    clock = status["clock"]
    names = {peer["server_name"]: _name(peer) for peer in status["peers"]}
    lines = [
        f"You are {printable(status['user_id'])}",
        f"Data folder {printable(data_path)}, dtnode {status.get('dtnode_version', '?')}.",
        f"Matrix clients connect to {status['api_url']} (password: dtnode password).",
        _clock_line(clock),
        "",
        *_section(
            f"Peers: {count(len(status['peers']), 'node')} known",
            [peer_line(peer, clock["now_ms"]) for peer in status["peers"]],
            "None yet. Add one with: dtnode peer add SERVER_NAME",
        ),
        *_section(
            f"Links: {count(len(status['links']), 'link')}",
            [link_line(link, names) for link in status["links"]],
            "None yet. Add one with: dtnode link add tcp --listen HOST:PORT",
        ),
        *_section(
            f"Rooms: {count(len(status['rooms']), 'room')}",
            [line for room in status["rooms"] for line in room_lines(room)],
            "None yet. Make one with: dtnode room create NAME",
        ),
    ]
    return lines[:-1]


def peer_line(peer: Json, now_ms: int) -> str:
    """One sentence: who, whether connected, what it lacks."""
    name = _name(peer)
    who = f"{name} ({peer['server_name']})" if name else str(peer["server_name"])
    if peer.get("blocked"):
        return f"{who}: blocked, nothing is exchanged with it"
    parts = []
    if peer.get("connected"):
        via = ", ".join(printable(link) for link in peer.get("via", []))
        parts.append(f"connected over {via}" if via else "connected")
    elif peer.get("last_contact_ms") is None:
        parts.append("never met yet")
    else:
        parts.append(f"not connected, last contact {ago(peer['last_contact_ms'], now_ms)}")
    lacks = peer.get("lacks")
    if lacks:
        parts.append(f"lacks {count(lacks, 'event')} of what is here")
    elif lacks == 0 and "never met yet" not in parts:
        parts.append("has everything it may have from here")
    return f"{who}: {'; '.join(parts)}"


def _name(peer: Json) -> str:
    """What it is called here, else its user's name; empty if neither is known."""
    return printable(peer.get("name") or (peer.get("user_id") or "")[1:].partition(":")[0])


def link_line(link: Json, names: Mapping[str, str]) -> str:
    """One line: id, what it does, its state.

    names: server name -> name; peers that have none, or not one of their own, are told in full.
    """
    options = ", ".join(
        f"{printable(key)} {printable(value)}" for key, value in link.get("options", {}).items()
    )
    readable = _READABLE.get(link.get("cipher", ""), "")
    line = (
        f"{printable(link['id'])} ({printable(link['kind'])}; {options}{readable}): {link['state']}"
    )
    if link.get("detail"):
        line += f", {printable(link['detail'])}"
    peers = link.get("peers")
    if peers:
        often = Counter(names.values())
        called = [names.get(peer, "") for peer in peers]
        shown = [
            name if name and often[name] == 1 else printable(peer)
            for name, peer in zip(called, peers, strict=True)
        ]
        line += f", with {', '.join(shown)}"
    return line


def room_lines(room: Json) -> list[str]:
    """What a person needs to know of a room, then its comparable values."""
    name = printable(room["name"] or "(no name)")
    if room.get("membership") == "invite":
        return [
            f"{name}: you are invited; join with: dtnode room join {quote(room['room_id'])}",
            f"    {room['room_id']}",
        ]
    if room.get("membership") == "knock":
        return [
            f"{name}: you have asked to be let in; a member has yet to answer",
            f"    {room['room_id']}",
        ]
    line = f"{name}: {count(room['events'], 'event')}, {count(room['members'], 'member')}"
    if room.get("membership") in ("leave", "ban"):
        line += ", you left it" if room["membership"] == "leave" else ", you are banned from it"
    lines = [
        line,
        f"    {room['room_id']}, version {room['version']}, {_kind(room['kind'])}",
        f"    {_gaps(room)}",
        f"    {count(len(room['tips']), 'tip')}, tip state {room['tip_state']}",
    ]
    if room.get("states_differ"):
        lines.append(
            "    The tip state differs from the state that counts here: something was soft-failed"
            " on its way"
        )
    if room.get("knocks"):
        asking = count(room["knocks"], "person asks", "people ask")
        lines.append(
            f"    {asking} to be let in; see: dtnode room members {quote(room['room_id'])}"
        )
    if room.get("successor"):
        successor = quote(printable(room["successor"]))
        lines.append(f"    It was replaced; go on with: dtnode room join {successor}")
    if room.get("clear_links") in _CLEAR_LINKS:
        lines.append(f"    {_CLEAR_LINKS[room['clear_links']]}")
    if room.get("note"):
        lines.append(f"    {printable(room['note'])}")
    return lines


def _kind(kind: str) -> str:
    return {
        "complete": "complete: everything since its beginning is here",
        "invited": "invited: you may join and talk; its history isn't here yet",
    }.get(kind, printable(kind))


def _gaps(room: Json) -> str:
    text = "no gaps"
    if room["gaps"]:
        text = f"{count(room['gaps'], 'event')} missing; see: dtnode gaps {quote(room['room_id'])}"
    if room.get("held"):
        text += f"; {count(room['held'], 'event')} held until then, not yet judged"
    return text


def _clock_line(clock: Json) -> str:
    line = f"Clock: {local_time(clock['now_ms'], seconds=True)}"
    if not clock.get("trusted", True):
        line += ", not trusted"
    return line + (f"; {printable(clock['note'])}" if clock.get("note") else "")


def _section(title: str, lines: list[str], empty: str) -> list[str]:
    return [title, *(f"  {line}" for line in lines or [empty]), ""]
