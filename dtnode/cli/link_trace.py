"""`dtnode link trace`: what goes over the links, live, and where their bytes went.

For people who debug a radio or count bytes. The node never tells what anybody said, nor keys.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping
from typing import Any

import click

from dtnode.cli.api import OWN_API, JsonObject, NodeApi
from dtnode.cli.common import json_option, pass_folder
from dtnode.cli.output import count, echo_json, echo_table, json_line, local_time, printable
from dtnode.node.data_folder import DataFolder

_POLL_MS = 25_000
_POLL_TIMEOUT_S = 60.0
_KEY_CHARS = 8  # of a server name that nobody here has a name for
_ARROWS = {True: "<", False: ">", None: "-"}
_NOT_COUNTED = (
    "These are the bytes of dtnode's own frames. What the transport puts around each one is not in"
    " them: over TCP 1 to 3 bytes for its length, and the headers of TCP/IP."
)
_REST = (
    "rest: lengths and acknowledgements inside what is sealed, the first word of a session, and"
    " parts of messages that are on their way."
)


@click.command()
@click.argument("link_id", metavar="[LINK]", required=False)
@click.option("--frames", is_flag=True, help="Frames only: what is on the air.")
@click.option("--messages", is_flag=True, help="Messages only: what the frames carry.")
@click.option(
    "--summary",
    is_flag=True,
    help="Print where the bytes went since each link came up, instead of what goes now.",
)
@json_option
@pass_folder
def trace(
    folder: DataFolder,
    link_id: str | None,
    frames: bool,
    messages: bool,
    summary: bool,
    as_json: bool,
) -> None:
    """Print every frame and message of LINK (or of all links) as it goes, until Ctrl-C.

    One line each: time, link, > sent or < received, the peer, its size and what it is. A message's
    size is what it has before it is sealed, cut into frames and perhaps sent again. Never shown:
    what anybody said, and keys.
    """
    if frames and messages:
        raise click.UsageError("--frames and --messages exclude each other; both are shown anyway.")
    if summary and (frames or messages):
        raise click.UsageError(
            "--summary counts frames and messages together; leave the other out."
        )
    only = "frame" if frames else "message" if messages else None
    with NodeApi(folder) as api:
        if summary:
            _summary(api, link_id, as_json)
            return
        try:
            _follow(api, link_id, only, as_json)
        except KeyboardInterrupt:
            return  # the way to end it


# --- live


def _follow(api: NodeApi, link_id: str | None, only: str | None, as_json: bool) -> None:
    query: JsonObject = {} if link_id is None else {"link": link_id}
    at = api.get(f"{OWN_API}/trace", **query)["next"]
    status = api.get(f"{OWN_API}/status")
    names = short_names(status["peers"])
    if not as_json:
        click.echo(_watching(status["links"], link_id, names), err=True)
    while True:
        answer = api.get(
            f"{OWN_API}/trace",
            **query,
            after=at,
            timeout_ms=_POLL_MS,
            timeout_s=_POLL_TIMEOUT_S,
        )
        at = answer["next"]
        entries = [e for e in answer["entries"] if only in (None, e["layer"])]
        if any(entry["peer"] not in (None, *names) for entry in entries):
            names = short_names(api.get(f"{OWN_API}/status")["peers"])
        if answer["lost"]:
            click.echo(f"({answer['lost']} went by too fast to be shown)", err=True)
        lines = [json_line(e) if as_json else entry_line(e, names) for e in entries]
        if lines:
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()


def _watching(links: list[JsonObject], link_id: str | None, names: Mapping[str, str]) -> str:
    """Which links, how they are, and that one has to wait."""
    shown = [
        f"{printable(link['id'])} ({', '.join([link['state'], *_with(link['peers'], names)])})"
        for link in links
        if link_id in (None, link["id"])
    ]
    if not shown:
        return (
            "This node has no links; those that are added are watched too. Add one with: dtnode"
            " link add --help. Ctrl-C ends this."
        )
    return f"Watching {', '.join(shown)}. Waiting for what goes over it; Ctrl-C ends this."


def _with(peers: list[str], names: Mapping[str, str]) -> list[str]:
    return [f"with {' and '.join(_short(peer, names) for peer in peers)}"] if peers else []


def entry_line(entry: JsonObject, names: Mapping[str, str]) -> str:
    """`20:31:04.123 tcp-1 > ben     96 B frame    data whole: header 1, payload 87, tag 8`"""
    size = f"{entry['size_bytes']:5} B" if entry["incoming"] is not None else " " * 7
    return (
        f"{_clock(entry['at_ms'])} {printable(entry['link_id'])} {_ARROWS[entry['incoming']]}"
        f" {_short(entry['peer'], names):<8} {size} {entry['layer']:<7} {printable(entry['text'])}"
    )


def _clock(ms: int) -> str:
    try:
        moment = datetime.datetime.fromtimestamp(ms / 1000)
    except (ValueError, OverflowError, OSError):
        return "--:--:--.---"  # a machine's clock may say anything
    return f"{moment:%H:%M:%S}.{ms % 1000:03}"


def short_names(peers: list[JsonObject]) -> dict[str, str]:
    """Server name -> what it is called here, else its user's name; none where neither is known."""
    called = {
        peer["server_name"]: peer.get("name")
        or peer.get("label")
        or (peer.get("user_id") or "")[1:].partition(":")[0]
        for peer in peers
    }
    return {server_name: printable(name) for server_name, name in called.items()}


def _short(peer: str | None, names: Mapping[str, str]) -> str:
    """?: nobody has proved a name, or the link is open."""
    if peer is None:
        return "?"
    return names.get(peer) or printable(peer[:_KEY_CHARS])


# --- summary


def _summary(api: NodeApi, link_id: str | None, as_json: bool) -> None:
    query: JsonObject = {} if link_id is None else {"link": link_id}
    links = api.get(f"{OWN_API}/tally", **query)["links"]
    if as_json:
        echo_json([{**link, "connections": _with_shares(link["connections"])} for link in links])
        return
    names = short_names(api.get(f"{OWN_API}/status")["peers"])
    for link in links:
        for connection in link["connections"]:
            _echo_connection(link, connection, names)
        if not link["connections"]:
            click.echo(f"{printable(link['id'])} ({link['state']}): nobody is connected.")
    if not links:
        click.echo("This node has no links. Add one with: dtnode link add --help")
    elif any(link["connections"] for link in links):
        click.echo(_REST)
        click.echo(_NOT_COUNTED)


def _echo_connection(link: JsonObject, connection: JsonObject, names: Mapping[str, str]) -> None:
    peer = _short(connection["peer"], names)
    since = local_time(connection["up_since_ms"], seconds=True)
    click.echo(f"{printable(link['id'])} ({link['cipher']}) with {peer}, up since {since}")
    for incoming, word, way in ((False, "Sent", "out"), (True, "Received", "in")):
        total = connection[f"bytes_{way}"]
        events, frames = connection[f"events_{way}"], connection[f"frames_{way}"]
        click.echo(f"{word}: {total} bytes in {count(frames, 'frame')}, {count(events, 'event')}")
        rows = [row for row in connection["rows"] if row["incoming"] is incoming]
        if rows:
            columns = ("What", "Count", "Bytes", "Share", "Bytes an event")
            echo_table(columns, [_cells(row, total, events) for row in rows])
    click.echo()


def _cells(row: JsonObject, total: int, events: int) -> tuple[str, ...]:
    part = share(row, total)
    return (
        row["kind"],
        str(row["count"]),
        str(row["bytes"]),
        f"{part:.1f} %",
        f"{row['bytes'] / events:.1f}" if events else "",
    )


def share(row: Mapping[str, Any], total: int) -> float:
    """Percent of all bytes of its direction."""
    return 100 * row["bytes"] / total if total else 0.0


def _with_shares(connections: list[JsonObject]) -> list[JsonObject]:
    """Each row with `share_percent` and `bytes_per_event` (null before the first event)."""
    found = []
    for connection in connections:
        rows = []
        for row in connection["rows"]:
            way = "in" if row["incoming"] else "out"
            events = connection[f"events_{way}"]
            rows.append(
                {
                    **row,
                    "share_percent": round(share(row, connection[f"bytes_{way}"]), 2),
                    "bytes_per_event": round(row["bytes"] / events, 2) if events else None,
                }
            )
        found.append({**connection, "rows": rows})
    return found
