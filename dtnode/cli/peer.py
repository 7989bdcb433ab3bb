"""`dtnode peer ...`: the nodes that this one knows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from dtnode.cli.api import OWN_API, JsonObject, NodeApi, RequestFailedError, segment
from dtnode.cli.common import json_option, pass_folder
from dtnode.cli.output import echo_json, echo_table, local_time, printable, warn
from dtnode.node.data_folder import DataFolder

peer_argument = click.argument("peer", metavar="PEER")


def register(group: click.Group) -> None:
    group.add_command(peers)


@click.group("peer")
def peers() -> None:
    """Nodes that this one talks to: those added here, and members of its rooms.

    PEER is a server name, the beginning of one (4 characters or more), a name given with `peer
    name`, or whatever else can stand for a USER.
    """


@peers.command()
@click.argument("peer", metavar="SERVER_NAME|USER")
@click.option("--name", metavar="NAME", help="What to call this peer here; others don't see it.")
@json_option
@pass_folder
def add(folder: DataFolder, peer: str, name: str | None, as_json: bool) -> None:
    """Make a node known, so that the two talk when a link joins them."""
    with NodeApi(folder) as api:
        answer = api.post(f"{OWN_API}/peers", {"peer": peer, "name": name})
        _show(answer, as_json)
        _warn_of_equal_names(api, answer, name)


@peers.command("list")
@json_option
@pass_folder
def list_peers(folder: DataFolder, as_json: bool) -> None:
    """Every node that this one knows."""
    with NodeApi(folder) as api:
        answer = api.get(f"{OWN_API}/peers")
    found = answer["peers"] if isinstance(answer, dict) else answer
    if as_json:
        echo_json(found)
        return
    echo_table(
        ("Name", "Server name", "User", "State", "Last contact", "Lacks"),
        [
            (
                peer.get("name"),
                peer["server_name"],
                _user(peer.get("user_id")),
                _state(peer),
                local_time(peer["last_contact_ms"]) if peer.get("last_contact_ms") else "never",
                peer.get("lacks"),
            )
            for peer in found
        ],
    )


@peers.command("name")
@peer_argument
@click.argument("name")
@json_option
@pass_folder
def name_peer(folder: DataFolder, peer: str, name: str, as_json: bool) -> None:
    """Call PEER by NAME here; it can then be used for USER in every command."""
    _change(folder, peer, {"name": name}, as_json)


@peers.command()
@peer_argument
@json_option
@pass_folder
def block(folder: DataFolder, peer: str, as_json: bool) -> None:
    """Exchange nothing with PEER any more, whatever name or domain its key uses."""
    _change(folder, peer, {"blocked": True}, as_json)


@peers.command()
@peer_argument
@json_option
@pass_folder
def unblock(folder: DataFolder, peer: str, as_json: bool) -> None:
    """Talk with PEER again."""
    _change(folder, peer, {"blocked": False}, as_json)


@peers.command()
@peer_argument
@pass_folder
def remove(folder: DataFolder, peer: str) -> None:
    """Forget that PEER was added; members of your rooms stay known."""
    with NodeApi(folder) as api:
        _of_peer(api, peer, api.delete)


def _change(folder: DataFolder, peer: str, change: Mapping[str, object], as_json: bool) -> None:
    with NodeApi(folder) as api:
        answer = _of_peer(api, peer, lambda path: api.post(path, change))
        _show(answer, as_json)
        _warn_of_equal_names(api, answer, change.get("name"))


def _of_peer(api: NodeApi, peer: str, call: Callable[[str], Any]) -> Any:
    """The answer of `call` to PEER's path; if no peer has that name, of the node of that USER."""
    try:
        return call(f"{OWN_API}/peers/{segment(peer)}")
    except RequestFailedError as error:
        if error.status != 404:
            raise
        try:
            server_name = api.user_id(peer).partition(":")[2]
        except RequestFailedError as other:
            raise (error if other.status == 404 else other) from None
        return call(f"{OWN_API}/peers/{segment(server_name)}")


def _warn_of_equal_names(api: NodeApi, named: JsonObject, name: object) -> None:
    """A name that two peers have stands for neither."""
    if name is None:
        return
    peers = api.get(f"{OWN_API}/peers")["peers"]
    others = [
        peer["server_name"]
        for peer in peers
        if peer.get("name") == named.get("name") and peer["server_name"] != named["server_name"]
    ]
    if others:
        warn(
            f"This is also the name of {' and '.join(others)}. Give one of them another, or use the"
            " beginnings of their keys."
        )


def _show(peer: JsonObject, as_json: bool) -> None:
    if as_json:
        echo_json(peer)
    else:
        name = f"{printable(peer['name'])}: " if peer.get("name") else ""
        click.echo(f"{name}{printable(peer['server_name'])} ({_state(peer)})")


def _user(user_id: str | None) -> str | None:
    """On a terminal without the server name, which has a column of its own."""
    if user_id is None or not sys.stdout.isatty():
        return user_id
    return user_id.partition(":")[0]


def _state(peer: JsonObject) -> str:
    if peer.get("blocked"):
        return "blocked"
    if peer.get("connected"):
        return "connected"
    return "added" if peer.get("added") else "known from a room"
