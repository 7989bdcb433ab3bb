"""`dtnode check`, `compact`, `room limit`: the store over the years."""

from __future__ import annotations

import json
import shlex
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from dtnode.cli.api import JsonObject, NodeApi, own_room_path
from dtnode.cli.common import json_option, pass_folder
from dtnode.cli.output import count, echo_json, echo_table, progress_bar
from dtnode.cli.room import rooms
from dtnode.errors import ConfigError, StoreError
from dtnode.node.data_folder import DataFolder

if TYPE_CHECKING:  # not against a cycle: other commands must not load the crypto
    from dtnode.rooms.verify import CheckReport

ADVICE = (
    "Keep a copy of the data folder as it is. Then bring the node back from its latest backup into"
    " a new folder (dtnode --data NEW restore FILE); what is newer comes back from its peers."
    " Without a backup: rooms that aren't named here can be exported."
)


def register(group: click.Group) -> None:
    group.add_command(check)
    group.add_command(compact)
    rooms.add_command(limit)


@click.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Verify the whole store: the file, and every event from its room's root.

    Hashes, signatures, verdicts, states and tips are worked out again and compared; nothing is
    changed. The node must not be running. Ends with 1 if anything is wrong.
    """
    folder: DataFolder = ctx.obj
    _check_at_rest(folder)
    report = _checked(folder)
    if as_json:
        echo_json({**asdict(report), "advice": ADVICE if report.found else None})
    else:
        _print_report(report)
    ctx.exit(1 if report.found else 0)


def _check_at_rest(folder: DataFolder) -> None:
    folder.open()
    if not folder.store_path.exists():
        raise ConfigError("This node has no store yet: it was never started.")
    if folder.is_running():
        raise ConfigError(
            f"A node is running on {folder.path}. Stop it first: while it writes, its store can't"
            " be compared with itself."
        )


def _checked(folder: DataFolder) -> CheckReport:
    from dtnode.rooms.rooms import key_of_name
    from dtnode.rooms.verify import check_store
    from dtnode.store import Store

    with closing(Store(folder.store_path, read_only=True)) as store:
        try:
            length = store.inspection.count_events()
        except StoreError:
            length = 0  # damaged just there; the check says so
        with progress_bar(max(1, length), label="Checking") as seen:
            return check_store(store, key_of_name, seen)


def _print_report(report: CheckReport) -> None:
    seen = f"{count(report.rooms, 'room')}, {count(report.events, 'event')}"
    if report.held:
        seen += f" and {count(report.held, 'held event')}"
    if not report.found:
        click.echo(f"Checked {seen}: all is well.")
        return
    echo_table(
        ("Room", "Event", "What is wrong"),
        [(one.room_id, one.event_id, one.what) for one in report.findings],
    )
    if report.found > len(report.findings):
        click.echo(f"... and {report.found - len(report.findings)} more")
    click.echo(f"Checked {seen}: {count(report.found, 'fault')}. {ADVICE}", err=True)


@click.command()
@json_option
@pass_folder
def compact(folder: DataFolder, as_json: bool) -> None:
    """Give disk back that the store doesn't need.

    Applies the rooms' history limits, drops states that nothing refers to, and writes the file
    anew, for which the disk needs as much room again. The node must not be running.
    """
    folder.open()
    if not folder.store_path.exists():
        raise ConfigError("This node has no store yet: it was never started.")
    from dtnode.node.system import SystemClock
    from dtnode.rooms.history_limit import HistoryLimiter, LimitStep
    from dtnode.rooms.state import RoomStates
    from dtnode.store import Store

    with folder.lock(), closing(Store(folder.store_path)) as store:
        limiter = HistoryLimiter(store, RoomStates(store), folder.identity.server_name)
        limited = LimitStep()
        for room in list(store.rooms):
            limited = limiter.apply(room, SystemClock().now_ms()) + limited
        done = store.compact()
    if as_json:
        echo_json({**asdict(done), "dropped": limited.dropped, "kept_own": limited.kept_own})
        return
    click.echo(f"Before: {done.before_bytes} bytes, after: {done.after_bytes} bytes")
    click.echo(_dropped(limited.dropped, limited.kept_own))


@click.command("limit")
@click.argument("room", metavar="ROOM")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep the messages among the newest N events.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 36_500),
    metavar="D",
    help="Keep the messages that came here within the last D days.",
)
@click.option("--none", "unlimited", is_flag=True, help="Keep everything from now on.")
@json_option
@pass_folder
def limit(
    folder: DataFolder,
    room: str,
    keep: int | None,
    days: int | None,
    unlimited: bool,
    as_json: bool,
) -> None:
    """Show or set how much of ROOM's messages stays on this disk; all of it if nothing is set.

    Older ones are dropped here, at once and on each `dtnode compact`, and stay on other nodes. The
    room's state and the shape of its history stay, and so do your own messages that no other node
    is known to have. What was dropped comes back only from a file (dtnode import) after --none.
    """
    if (keep is not None) + (days is not None) + unlimited > 1:
        raise click.UsageError("A room has one limit: give --keep, --days or --none.")
    with NodeApi(folder) as api:
        path = own_room_path(api.room_id(room), "limit")
        if keep is None and days is None and not unlimited:
            answer = api.get(path)
        else:
            body = {"keep_events": keep, "keep_days": days}
            answer = api.post_stream(path, [json.dumps(body).encode()])  # takes what it takes
    if as_json:
        echo_json(answer)
        return
    click.echo(_limit_in_words(answer))
    if "dropped" in answer:
        click.echo(_dropped(answer["dropped"], answer["kept_own"]))
    if answer.get("dropped"):
        command = f"dtnode --data {shlex.quote(str(folder.path))} compact"
        click.echo(f"Stop the node and run `{command}` to give the disk back.")


def _limit_in_words(answer: JsonObject) -> str:
    if answer["keep_events"] is not None:
        return f"Kept: the messages among the newest {count(answer['keep_events'], 'event')}"
    if answer["keep_days"] is not None:
        return f"Kept: what came within the last {count(answer['keep_days'], 'day')}"
    return "Kept: everything"


def _dropped(dropped: int, kept_own: int) -> str:
    text = f"Dropped: {count(dropped, 'old message')}"
    if kept_own:
        text += f"; {count(kept_own, 'message')} of yours stayed, known at no other node yet"
    return text
