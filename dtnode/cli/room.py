"""`dtnode room ...`: rooms, their members and their state."""

from __future__ import annotations

import json
import shlex
from typing import TextIO

import click

from dtnode.cli import story
from dtnode.cli.api import (
    CLIENT_API,
    OWN_API,
    JsonObject,
    NodeApi,
    NoNodeError,
    RequestFailedError,
    own_room_path,
    room_path,
    segment,
)
from dtnode.cli.common import json_option, pass_folder
from dtnode.cli.output import echo_json, echo_table, json_line, printable, warn
from dtnode.errors import DtnodeError
from dtnode.matrix.room_versions import DEFAULT_ROOM_VERSION
from dtnode.node.data_folder import DataFolder

room_argument = click.argument("room", metavar="ROOM")
user_argument = click.argument("user", metavar="USER")
reason_option = click.option("--reason", metavar="TEXT", help="Why; everybody in the room sees it.")


_STANDING = {
    "join": "joined",
    "invite": "invited",
    "knock": "asked to join",
    "leave": "left",
    "ban": "banned",
    None: "not in it",
}

READABLE_ROOM = (
    "Over clear and open links everybody who hears them can read this room: what is written in it,"
    " its name, its members and their servers. What was sent can't be taken back."
)


def register(group: click.Group) -> None:
    story.register(rooms)
    group.add_command(rooms)
    group.add_command(gaps)


@click.group("room")
def rooms() -> None:
    """Rooms, their members and their state."""


@rooms.command()
@click.argument("name")
@click.option("--version", metavar="V", help="The room version; the newest known one otherwise.")
@click.option(
    "--public", is_flag=True, help="Anyone may join, by the room's id; else only who is invited."
)
@click.option(
    "--creator",
    "creators",
    multiple=True,
    metavar="USER",
    help="Another creator besides you (may be repeated). Creators can do everything and can't be"
    " replaced later.",
)
@click.option(
    "--clear-links",
    is_flag=True,
    help="Let it go over clear and open links, where others can read it (see dtnode room permit).",
)
@json_option
@pass_folder
def create(
    folder: DataFolder,
    name: str,
    version: str | None,
    public: bool,
    creators: tuple[str, ...],
    clear_links: bool,
    as_json: bool,
) -> None:
    """Make a room called NAME and print its id."""
    body: JsonObject = {"name": name, "preset": "public_chat" if public else "private_chat"}
    if version is not None:
        body["room_version"] = version
    if clear_links:
        body["org.dtnode.clear_links"] = True
    with NodeApi(folder) as api:
        if creators:
            ids = [api.user_id(user) for user in creators]
            body["creation_content"] = {"additional_creators": ids}
        answer = api.post(f"{CLIENT_API}/createRoom", body)
        if as_json:
            echo_json({"room_id": answer["room_id"]})
        else:
            click.echo(answer["room_id"])
        if clear_links:
            warn(READABLE_ROOM)
        _warn_of_equal_names(api, name)


def _warn_of_equal_names(api: NodeApi, name: str) -> None:
    try:
        api.room_id(name)
    except RequestFailedError as error:
        if error.status != 404:  # as for "", which nothing can be called
            warn(f"{error}. In commands, an id stands in single quotes.")
    except NoNodeError:
        return  # it went away after it made the room, which is what was asked


@rooms.command()
@room_argument
@click.option("--version", metavar="V", help="Of the new room; the newest known one otherwise.")
@click.option(
    "--creator",
    "creators",
    multiple=True,
    metavar="USER",
    help="Another creator of the new room besides you (may be repeated).",
)
@click.option(
    "--invite/--no-invite",
    default=True,
    show_default=True,
    help="Ask the members of the old room into the new one.",
)
@json_option
@pass_folder
def upgrade(
    folder: DataFolder,
    room: str,
    version: str | None,
    creators: tuple[str, ...],
    invite: bool,
    as_json: bool,
) -> None:
    """Put a new room in the place of ROOM and print its id.

    Name, topic, rules, powers and bans go with it, messages don't. The old room says where the new
    one is; it stays open for those who haven't heard of it yet.
    """
    body: JsonObject = {"new_version": version or DEFAULT_ROOM_VERSION}
    body["org.dtnode.invite"] = invite
    with NodeApi(folder) as api:
        room_id = api.room_id(room)
        if creators:
            body["additional_creators"] = [api.user_id(user) for user in creators]
        new = api.post(room_path(room_id, "upgrade"), body)["replacement_room"]
    if as_json:
        echo_json({"room_id": new, "replaces": room_id})
    else:
        click.echo(new)


@rooms.command("list")
@json_option
@pass_folder
def list_rooms(folder: DataFolder, as_json: bool) -> None:
    """Rooms that you are in, are invited to, asked to join, or have left."""
    with NodeApi(folder) as api:
        found = api.get(f"{OWN_API}/rooms")["rooms"]
    if as_json:
        echo_json(found)
        return
    echo_table(
        ("Name", "You", "Members", "Events", "Gaps", "Kind", "Id"),
        [
            (
                room["name"],
                _STANDING.get(room["membership"], room["membership"]),
                room["members"],
                room["events"],
                room["gaps"],
                "replaced" if room.get("successor") else room["kind"],
                room["room_id"],
            )
            for room in found
        ],
    )


@rooms.command()
@room_argument
@user_argument
@reason_option
@click.option(
    "--signed",
    type=click.File("r", encoding="utf-8"),
    metavar="FILE",
    help="Redeem a third-party invite of yours with the signed JSON object (mxid, token,"
    " signatures) in FILE; no identity server brings it here.",
)
@pass_folder
def invite(
    folder: DataFolder, room: str, user: str, reason: str | None, signed: TextIO | None
) -> None:
    """Ask USER into ROOM; the invite travels through any node that meets theirs."""
    more: JsonObject = {} if signed is None else {"org.dtnode.signed": _object(signed.read())}
    answer = _membership(folder, room, "invite", user, reason, more)
    _tell_if_stuck(answer, "The invite is made", "they don't hear")


@rooms.command()
@room_argument
@pass_folder
def join(folder: DataFolder, room: str) -> None:
    """Join ROOM. With an invite that needs nobody to be reachable; the history comes later."""
    with NodeApi(folder) as api:
        answer = api.post(f"{CLIENT_API}/join/{segment(_joinable(api, room))}", {})
    replaced_by = answer.get("org.dtnode.replaced_by")
    if replaced_by:
        click.echo(
            "You are in, but that room was replaced. Go on with:"
            f" dtnode room join {shlex.quote(replaced_by)}",
            err=True,
        )
    _tell_if_stuck(answer, "You are in", "nobody hears")


def _tell_if_stuck(answer: JsonObject, done: str, who: str) -> None:
    """Where the only way there is one that others can read."""
    links = answer.get("org.dtnode.unpermitted_links")
    if not links:
        return
    one = len(links) == 1
    click.echo(
        f"{done}, but {who} of it yet: others can read what goes over"
        f" {printable(' and '.join(links))}, the only {'link' if one else 'links'} there, and you"
        f" haven't permitted this room for {'it' if one else 'them'}. To permit it:"
        f" dtnode room permit {shlex.quote(answer['room_id'])} --clear-links yes",
        err=True,
    )


@rooms.command()
@room_argument
@reason_option
@pass_folder
def knock(folder: DataFolder, room: str, reason: str | None) -> None:
    """Ask to be let into ROOM, where its join rule allows that; a moderator invites or refuses you.

    A room that isn't known here is asked for by its id from the nodes in reach.
    """
    body: JsonObject = {} if reason is None else {"reason": reason}
    with NodeApi(folder) as api:
        answer = api.post(f"{CLIENT_API}/knock/{segment(_joinable(api, room))}", body)
    _tell_if_stuck(answer, "You have asked", "nobody hears")


@rooms.command()
@room_argument
@pass_folder
def leave(folder: DataFolder, room: str) -> None:
    """Leave ROOM, decline the invite to it, or stop asking to be let in."""
    _membership(folder, room, "leave", None, None)


@rooms.command()
@room_argument
@user_argument
@reason_option
@pass_folder
def kick(folder: DataFolder, room: str, user: str, reason: str | None) -> None:
    """Remove USER from ROOM; an invite brings them back."""
    _membership(folder, room, "kick", user, reason)


@rooms.command()
@room_argument
@user_argument
@reason_option
@pass_folder
def ban(folder: DataFolder, room: str, user: str, reason: str | None) -> None:
    """Remove USER from ROOM and keep them out."""
    _membership(folder, room, "ban", user, reason)


@rooms.command()
@room_argument
@user_argument
@pass_folder
def unban(folder: DataFolder, room: str, user: str) -> None:
    """Lift the ban of USER; they can be invited again."""
    _membership(folder, room, "unban", user, None)


@rooms.command()
@room_argument
@json_option
@pass_folder
def members(folder: DataFolder, room: str, as_json: bool) -> None:
    """Who is in ROOM, invited, asking to be let in (knock) or banned."""
    with NodeApi(folder) as api:
        room_id = api.room_id(room)
        found = api.get(room_path(room_id, "members"))["chunk"]
        labels = api.labels()
    rows = [
        {
            "user_id": event["state_key"],
            "membership": event["content"].get("membership"),
            "label": labels.get(event["state_key"], event["state_key"]),
            "displayname": event["content"].get("displayname"),
        }
        for event in found
    ]
    if as_json:
        echo_json(rows)
        return
    echo_table(
        ("Name", "Membership", "User"),
        [(row["label"], row["membership"], row["user_id"]) for row in rows],
    )


@rooms.command()
@room_argument
@click.argument("event_type", metavar="[TYPE]", required=False)
@click.argument("state_key", metavar="[KEY]", required=False)
@json_option
@pass_folder
def state(
    folder: DataFolder, room: str, event_type: str | None, state_key: str | None, as_json: bool
) -> None:
    """The state of ROOM: all of it, or the content of one TYPE with its KEY ("" if none given)."""
    with NodeApi(folder) as api:
        room_id = api.room_id(room)
        if event_type is not None:
            echo_json(_one_state(api, room_id, event_type, state_key))
            return
        found = api.get(room_path(room_id, "state"))
    if as_json:
        echo_json(found)
        return
    echo_table(
        ("Type", "Key", "Sender", "Content"),
        [
            (event["type"], event["state_key"], event["sender"], json_line(event["content"]))
            for event in found
        ],
    )


@rooms.command("set")
@room_argument
@click.argument("event_type", metavar="TYPE")
@click.argument("content", metavar="JSON")
@click.option("--state-key", default="", metavar="K", help="The state key; empty otherwise.")
@json_option
@pass_folder
def set_state(
    folder: DataFolder, room: str, event_type: str, content: str, state_key: str, as_json: bool
) -> None:
    """Set state of ROOM, such as: room set boat m.room.topic '{"topic": "wind"}'"""
    body = _object(content)
    with NodeApi(folder) as api:
        answer = api.put(_state_path(api.room_id(room), event_type, state_key), body)
    if as_json:
        echo_json({"event_id": answer["event_id"]})
    else:
        click.echo(answer["event_id"])


@click.command()
@room_argument
@json_option
@pass_folder
def gaps(folder: DataFolder, room: str, as_json: bool) -> None:
    """What is missing in ROOM: events that others refer to and that aren't here yet."""
    with NodeApi(folder) as api:
        answer = api.get(own_room_path(api.room_id(room), "gaps"))
    if as_json:
        echo_json(answer)
    elif not answer["gaps"]:
        if answer["kind"] == "invited":
            click.echo("The room's history isn't here yet; nothing that it refers to is known.")
        else:
            click.echo("No gaps: everything that is referred to is here.")
    else:
        echo_table(
            ("Event", "What", "Needed by", "Asked"),
            [
                (
                    gap["event_id"],
                    {"missing": "not here", "content": "content missing"}.get(
                        gap["kind"], gap["kind"]
                    ),
                    " ".join(gap["needed_by"]),
                    " ".join(gap["asked"]) or "nobody yet",
                )
                for gap in answer["gaps"]
            ],
        )
    if not as_json and answer.get("held"):
        click.echo(f"Held until they arrive: {answer['held']}")


def _object(content: str) -> JsonObject:
    try:
        body = json.loads(content)
    except ValueError as error:
        raise click.UsageError(
            f"The content isn't JSON: {error}. Quote it for the shell."
        ) from error
    if not isinstance(body, dict):
        raise click.UsageError('The content has to be a JSON object, such as {"topic": "wind"}.')
    return body


def _membership(
    folder: DataFolder,
    room: str,
    action: str,
    user: str | None,
    reason: str | None,
    more: JsonObject | None = None,
) -> JsonObject:
    """One of the Client-Server API's membership calls (section "Room membership"): its answer, with
    the room's id."""
    with NodeApi(folder) as api:
        room_id = api.room_id(room)
        body: JsonObject = {} if user is None else {"user_id": api.user_id(user)}
        body |= more or {}
        if reason is not None:
            body["reason"] = reason
        answer: JsonObject = api.post(room_path(room_id, action), body)
    return {"room_id": room_id, **answer}


def _joinable(api: NodeApi, room: str) -> str:
    """The room's id, or an id or alias that only other nodes know."""
    try:
        return api.room_id(room)
    except RequestFailedError as error:
        if error.status != 404:
            raise
        if room[:1] not in ("!", "#"):
            raise DtnodeError(
                f"{error}\nAn invite comes when your node meets one that has it (see: dtnode"
                " status); a public room is joined by its id, in single quotes."
            ) from error
        return room


def _one_state(api: NodeApi, room_id: str, event_type: str, state_key: str | None) -> JsonObject:
    try:
        content: JsonObject = api.get(_state_path(room_id, event_type, state_key or ""))
    except RequestFailedError as error:
        if error.status != 404 or state_key is not None:
            raise
        events = api.get(room_path(room_id, "state"))
        keys = [event["state_key"] for event in events if event["type"] == event_type]
        if not keys:
            raise
        raise RequestFailedError(
            error.status,
            error.errcode,
            f"There is no {event_type} with an empty key. Name one of its keys: {' '.join(keys)}",
        ) from error
    return content


def _state_path(room_id: str, event_type: str, state_key: str) -> str:
    path = room_path(room_id, f"state/{segment(event_type)}")
    return f"{path}/{segment(state_key)}" if state_key else path
