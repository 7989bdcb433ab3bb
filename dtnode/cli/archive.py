"""`dtnode export`, `import`, `audit`, `backup`, `restore`: rooms and nodes as files."""

from __future__ import annotations

import collections
import contextlib
import gzip
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from shlex import quote
from typing import Any, BinaryIO, cast

import click

from dtnode.cli.api import OWN_API, NodeApi, NoNodeError, RequestFailedError
from dtnode.cli.common import json_option, pass_folder
from dtnode.cli.output import echo_json, echo_table, printable, progress_bar, warn
from dtnode.errors import ConfigError, DtnodeError
from dtnode.node.data_folder import DataFolder

_READ_BYTES = 65_536

file_argument = click.argument(
    "file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path)
)
passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Take the passphrase from the first line of FILE; else from the environment's"
    " DTNODE_PASSPHRASE; else it is asked for.",
)


def register(group: click.Group) -> None:
    for command in (export_room, import_room, audit, backup, restore):
        group.add_command(command)


@click.command("export")
@click.argument("room", metavar="ROOM")
@file_argument
@pass_folder
def export_room(folder: DataFolder, room: str, file: Path) -> None:
    """Write ROOM as JSON lines to FILE: compressed if it ends in .gz, to standard output if it
    is -. Works without a running node."""
    folder.open()
    if not folder.store_path.exists():
        raise ConfigError("This node has no rooms yet: it was never started.")
    from dtnode.rooms.names import Names
    from dtnode.rooms.room_file import export_room as room_lines
    from dtnode.rooms.state import RoomStates
    from dtnode.store import Store

    store = Store(folder.store_path, read_only=True)
    try:
        names = Names(store, RoomStates(store), folder.identity.user_id)
        lines = room_lines(store, names.resolve_room(room).room_id)
        if str(file) == "-":
            for line in lines:
                sys.stdout.write(line.rstrip("\n") + "\n")
            return
        try:
            written = write_lines(file, lines)
        except OSError as error:
            raise ConfigError(
                f"{file} can't be written: {error.strerror or error}. Choose another place for it."
            ) from error
    finally:
        store.close()
    click.echo(f"{written - 1} events in {printable(file)}", err=True)


@click.command("import")
@file_argument
@json_option
@pass_folder
def import_room(folder: DataFolder, file: Path, as_json: bool) -> None:
    """Take in the events of a room from FILE (JSON lines, also .gz), judged like any others.

    It goes in step by step, and the node works on meanwhile. What was taken in stays: if it is
    broken off, run it again, and it soon goes on where it was.
    """
    with NodeApi(folder) as api, _progress_of(file) as seen:
        try:
            answer = api.post_stream(f"{OWN_API}/import", _chunks(file, seen))
        except RequestFailedError as error:
            raise DtnodeError(f"{file}: {error}") from error
        except NoNodeError as error:
            raise NoNodeError(
                f"{error} Then run the same import again: it goes on where it was."
            ) from error
    if as_json:
        echo_json(answer)
        return
    click.echo(f"Room {answer['room_id']}")
    for key in ("accepted", "rejected", "dropped", "held", "duplicate"):
        click.echo(f"  {key}: {answer[key]}")
    if answer["rejected"] or answer["dropped"]:
        click.echo(f"Why some were rejected or dropped: dtnode audit {quote(printable(file))}")


@click.command()
@file_argument
@json_option
def audit(file: Path, as_json: bool) -> None:
    """Judge the room in FILE (JSON lines, also .gz) event by event. Needs no node; ends with 0
    whatever the verdicts are."""
    from dtnode.rooms.audit import audit_file

    with _room_file_errors(file):
        file.stat()  # audit_file would tell of a missing one in the system's words
        report: dict[str, Any] = audit_file(file)
    if as_json:
        echo_json(report)
        return
    events = report["events"]
    echo_table(
        ("Line", "Verdict", "Event", "Failed checks"),
        [
            (line, _verdict(event), event["event_id"] or "(no id)", _failed(event))
            for line, event in enumerate(events, 2)
        ],
    )
    totals = collections.Counter(event["verdict"] for event in events)
    click.echo(f"Room version {report['room_version']}, {len(events)} events:")
    for verdict, number in sorted(totals.items()):
        click.echo(f"  {verdict}: {number}")
    click.echo(f"Heads: {' '.join(report['heads'])}")
    click.echo(f"State: {len(report['state'])} entries")


@click.command()
@file_argument
@passphrase_option
@json_option
@pass_folder
def backup(folder: DataFolder, file: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Seal this node (key, settings, peers, rooms) into FILE with a passphrase.

    The node may go on running. Whoever has the file and the passphrase can speak as you. A file
    that is there already is replaced; at a terminal you are asked first.
    """
    folder.open()
    if file.exists() and sys.stdin.isatty():
        click.confirm(f"{printable(file)} is there already. Replace it?", abort=True, err=True)
    from dtnode.node.backup import write_backup

    passphrase = read_passphrase(passphrase_file, confirm=True)
    report = write_backup(folder, file, passphrase, os.urandom)
    if as_json:
        echo_json({"file": str(file), "size_bytes": report.size_bytes, "warning": report.warning})
    else:
        click.echo(f"Sealed into {printable(file)}, {report.size_bytes} bytes")
    if report.warning:
        warn(report.warning)


@click.command()
@file_argument
@passphrase_option
@json_option
@pass_folder
def restore(folder: DataFolder, file: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Bring a node back from FILE into an empty or new data folder.

    Never run the restored node and its original side by side: they are one identity. What it wrote
    after the backup was made comes back from its peers: let it meet one before you write.
    """
    folder.check_empty()
    from dtnode.node.backup import restore_backup

    passphrase = read_passphrase(passphrase_file, confirm=False)
    restore_backup(folder, file, passphrase, os.urandom, int(time.time() * 1000))
    identity = folder.identity
    if as_json:
        echo_json(
            {
                "user_id": identity.user_id,
                "server_name": identity.server_name,
                "data": str(folder.path),
            }
        )
    else:
        click.echo(f"You are {identity.user_id} again, in {printable(folder.path)}")
        click.echo(
            "Make sure that the node it was taken from never runs again.\n"
            "Start this one with dtnode run, and let it meet another node before you write: what"
            " was written after the backup comes back from there."
        )


def read_passphrase(file: Path | None, *, confirm: bool) -> str:
    """From `file`, the environment, or the person at the terminal (twice where `confirm`)."""
    if file is not None:
        with file.open(encoding="utf-8", errors="surrogateescape") as lines:
            passphrase = lines.readline().rstrip("\r\n")
        if not passphrase:
            raise ConfigError(f"The first line of {file} is empty. Write the passphrase there.")
        return passphrase
    passphrase = os.environ.get("DTNODE_PASSPHRASE", "")
    if passphrase:
        return passphrase
    if not sys.stdin.isatty():
        raise click.UsageError(
            "There is no terminal to ask for the passphrase. Give --passphrase-file FILE, or set"
            " DTNODE_PASSPHRASE."
        )
    answer: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


def write_lines(file: Path, lines: Iterable[str]) -> int:
    """Write `lines` to `file` (gzip if its name ends in .gz), whole or not at all.

    Returns how many. OSError where the disk refuses.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    written = 0
    try:
        with _open_for_writing(temporary, compressed=file.suffix == ".gz") as out:
            for line in lines:
                out.write(line.rstrip("\n").encode() + b"\n")
                written += 1
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    return written


def _open_for_writing(path: Path, *, compressed: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "wb")) if compressed else path.open("wb")


def _chunks(file: Path, seen: Callable[[int], None]) -> Iterator[bytes]:
    """The room's text; `seen` hears how far in the file it is, as the node takes it. Errors of the
    file are told as such: they would pass for the network's."""
    with (
        _room_file_errors(file),
        file.open("rb") as raw,
        cast(BinaryIO, gzip.open(raw)) if file.suffix == ".gz" else raw as source,
    ):
        while data := source.read(_READ_BYTES):
            yield data
            seen(raw.tell())


@contextlib.contextmanager
def _progress_of(file: Path) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal while a file is read; nothing where standard error is none."""
    with _room_file_errors(file):
        size = file.stat().st_size
    with progress_bar(size, label=f"Importing {printable(file.name)}") as seen:
        yield seen


@contextlib.contextmanager
def _room_file_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except DtnodeError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConfigError(f"{file} isn't whole: {error}. Get another copy of it.") from error
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{file} isn't a room as `dtnode export` writes it: {error}. The first line holds the"
            " room version and the keys, each further line one event."
        ) from error


def _verdict(event: dict[str, Any]) -> str:
    return f"{event['verdict']}, soft-failed" if event.get("soft_failed") else event["verdict"]


def _failed(event: dict[str, Any]) -> str:
    checks = event.get("checks") or {}
    return "; ".join(f"{name}: {text}" for name, text in checks.items() if text not in ("ok", None))
