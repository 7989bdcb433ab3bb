"""`dtnode room permit`: which rooms may go over links that others can read."""

from __future__ import annotations

import click

from dtnode.cli.api import JsonObject, NodeApi, own_room_path
from dtnode.cli.common import json_option, pass_folder
from dtnode.cli.output import echo_json, warn
from dtnode.cli.room import READABLE_ROOM, rooms
from dtnode.node.data_folder import DataFolder

_IN_WORDS = {
    "no": "It doesn't go over clear and open links.",
    "yes": "It goes over clear and open links, where others can read it.",
    "ended": "It doesn't go over clear and open links any more: it became encrypted after you"
    " permitted it.",
}


def register(_group: click.Group) -> None:
    rooms.add_command(permit)


@click.command()
@click.argument("room", metavar="ROOM")
@click.option(
    "--clear-links",
    type=click.Choice(["yes", "no"]),
    help="Whether ROOM may go over clear and open links, where others can read it.",
)
@click.option(
    "--although-encrypted",
    is_flag=True,
    help="Permit it although ROOM is encrypted: others see who is in it and who writes when, and on"
    " amateur radio bands encrypted messages are forbidden.",
)
@json_option
@pass_folder
def permit(
    folder: DataFolder,
    room: str,
    clear_links: str | None,
    although_encrypted: bool,
    as_json: bool,
) -> None:
    """Show or set whether ROOM may go over links that others can read (see dtnode link add).

    Nothing of a room goes over a clear or open link before you permit it here: no message, no
    invite, not even your joining. Others in the room decide that for themselves. A room that
    becomes encrypted loses the permission.
    """
    if although_encrypted and clear_links != "yes":
        raise click.UsageError("--although-encrypted goes with --clear-links yes.")
    with NodeApi(folder) as api:
        path = own_room_path(api.room_id(room), "permission")
        if clear_links is None:
            answer = api.get(path)
        else:
            body: JsonObject = {"clear_links": clear_links == "yes"}
            body["although_encrypted"] = although_encrypted
            answer = api.post(path, body)
    if as_json:
        echo_json(answer)
    else:
        click.echo(_IN_WORDS[answer["clear_links"]])
    if clear_links == "yes":
        warn(READABLE_ROOM)
