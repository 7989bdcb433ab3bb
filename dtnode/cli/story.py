"""`dtnode room explain` and `dtnode room diff`: why, and what changed."""

from __future__ import annotations

import re
import time

import click

from dtnode.cli.api import NodeApi, RequestFailedError, own_room_path
from dtnode.cli.common import json_option, pass_folder
from dtnode.cli.output import echo_json
from dtnode.cli.story_text import diff_lines, explain_lines
from dtnode.cli.times import FORMS, milliseconds
from dtnode.errors import DtnodeError
from dtnode.node.data_folder import DataFolder

_may_be_an_event = re.compile(r"\$?[A-Za-z0-9_+/-]{5,43}").fullmatch


def register(rooms: click.Group) -> None:
    """rooms: the group of `dtnode room`."""
    rooms.add_command(explain)
    rooms.add_command(diff)


@click.command()
@click.argument("room", metavar="ROOM")
@click.argument("event", metavar="EVENT")
@json_option
@pass_folder
def explain(folder: DataFolder, room: str, event: str, as_json: bool) -> None:
    """Why EVENT of ROOM is accepted, rejected, soft-failed or held, and what became of it.

    Names the rule that decided, the events that it read, and, for a change that isn't the room's
    state now, what replaced it or which conflict it lost. EVENT is an event's id or its beginning,
    5 characters or more; the $ may be left out, which saves quoting it. `room diff` and `read
    --json` show ids.
    """
    with NodeApi(folder) as api:
        answer = api.get(own_room_path(api.room_id(room), "explain"), event=event)
        labels = {} if as_json else api.labels()
    if as_json:
        echo_json(answer)
        return
    for line in explain_lines(answer, labels):
        click.echo(line)


@click.command()
@click.argument("room", metavar="ROOM")
@click.option(
    "--since",
    required=True,
    metavar="TIME|EVENT",
    help=f"A time, such as {FORMS} (local time if it doesn't say; what counts is when events came"
    " here), or an event's id or its beginning: what isn't among the events before it.",
)
@json_option
@pass_folder
def diff(folder: DataFolder, room: str, since: str, as_json: bool) -> None:
    """What changed in ROOM since a time or an event, such as while you were apart.

    Who joined, left or was banned, what is called or allowed otherwise now, who said how much,
    which changes lost a conflict and why, and what was not accepted.
    """
    ms = milliseconds(since, round(time.time() * 1000))
    if ms is None and not _may_be_an_event(since):
        raise click.UsageError(
            f"--since {since!r} is neither a time nor an event's id. Write a time as {FORMS}."
        )
    query = f"${since.removeprefix('$')}" if ms is None else str(ms)
    with NodeApi(folder) as api:
        path = own_room_path(api.room_id(room), "diff")
        try:
            answer = api.get(path, since=query)
        except RequestFailedError as error:
            if error.status != 404 or since.startswith("$"):
                raise
            raise DtnodeError(f"{error}\nNor is {since!r} a time. Write one as {FORMS}.") from error
        labels = {} if as_json else api.labels()
    if as_json:
        echo_json(answer)
        return
    for line in diff_lines(answer, labels):
        click.echo(line)
