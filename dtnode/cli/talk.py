"""`dtnode send` and `dtnode read`: messages in and out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Protocol, cast

import click

from dtnode.cli.api import JsonObject, NodeApi, NoNodeError, RequestFailedError, own_room_path
from dtnode.cli.common import json_option, pass_folder
from dtnode.cli.describe import event_lines
from dtnode.cli.output import json_line
from dtnode.errors import DtnodeError
from dtnode.node.data_folder import DataFolder

CHUNK_LINES = 200
"""Lines in one request: they share one fsync, and an answer comes at least this often."""
MAX_LINE_BYTES = 65_535
"""An event has at most 65,536 bytes (specification, "Size limits"); a line is only a part of it."""
READ_LIMIT = 100_000
_READ_BYTES = 65_536
_POLL_MS = 25_000
_POLL_TIMEOUT_S = 60.0


class ByteSource(Protocol):
    """A buffered binary stream."""

    def read1(self, size: int, /) -> bytes:
        """What is there, at least one byte unless at the end; waits only for the first one."""
        ...


def register(group: click.Group) -> None:
    group.add_command(send)
    group.add_command(read)


@click.command()
@click.argument("room", metavar="ROOM")
@click.argument("text", metavar="TEXT")
@json_option
@pass_folder
def send(folder: DataFolder, room: str, text: str, as_json: bool) -> None:
    """Send TEXT to ROOM; if TEXT is -, each line of standard input as a message.

    Ends with 0 only when everything is on this node's disk. A text that begins with - needs -- in
    front: send boat -- -5 degrees.
    """
    if text != "-":
        _check_text(text)
    with NodeApi(folder) as api:
        path = own_room_path(api.room_id(room), "send")
        if text == "-":
            _send_lines(api, path, cast(ByteSource, sys.stdin.buffer), as_json)
        else:
            _send_texts(api, path, [text], as_json)


@click.command()
@click.argument("room", metavar="ROOM")
@click.option(
    "--limit",
    type=click.IntRange(1, READ_LIMIT),
    default=50,
    show_default=True,
    metavar="N",
    help=f"How many of the newest events, at most {READ_LIMIT}.",
)
@click.option("--follow", is_flag=True, help="Go on with what arrives, until Ctrl-C.")
@json_option
@pass_folder
def read(folder: DataFolder, room: str, limit: int, follow: bool, as_json: bool) -> None:
    """Print the newest events of ROOM, oldest first.

    Behind your own messages stands how many members' nodes are known to have them: (here only),
    (2 of 4). Others are marked: (sent while apart) for one that its author sent without knowing of
    their removal, (provisional) for one that can't be judged yet, (soft-failed) for one that the
    room's present state doesn't allow. --follow doesn't come back to a line once it is printed.
    """
    with NodeApi(folder) as api:
        path = own_room_path(api.room_id(room), "events")
        labels = {} if as_json else api.labels()
        answer = api.get(path, limit=limit)
        _print_events(answer["events"], labels, as_json)
        try:
            while follow:
                answer = api.get(
                    path,
                    limit=limit,
                    after=answer["cursor"],
                    timeout_ms=_POLL_MS,
                    timeout_s=_POLL_TIMEOUT_S,
                )
                if not as_json and any(event["sender"] not in labels for event in answer["events"]):
                    labels = api.labels()
                _print_events(answer["events"], labels, as_json)
        except KeyboardInterrupt:
            return  # the way to end --follow


def _print_events(events: list[JsonObject], labels: dict[str, str], as_json: bool) -> None:
    lines: list[str] = []
    for event in events:
        lines += [json_line(event)] if as_json else event_lines(event, labels)
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


def _check_text(text: str) -> None:
    if not text.strip():
        raise click.UsageError("The text is empty. Say something.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise click.UsageError("The text isn't UTF-8. Set your terminal to it.") from error


def _send_texts(api: NodeApi, path: str, texts: list[str], as_json: bool) -> None:
    events = [
        {"type": "m.room.message", "content": {"msgtype": "m.text", "body": text}} for text in texts
    ]
    answer: Any = api.post(path, {"events": events})
    if as_json:
        for event_id in answer["event_ids"]:
            sys.stdout.write(json_line({"event_id": event_id}) + "\n")
        sys.stdout.flush()


def _send_lines(api: NodeApi, path: str, stream: ByteSource, as_json: bool) -> None:
    sent = 0
    try:
        for texts in line_batches(stream):
            try:
                _send_texts(api, path, texts, as_json)
            except RequestFailedError as error:
                raise DtnodeError(
                    f"{error}\n{_sent(sent)} the next {len(texts)} aren't."
                ) from error
            except NoNodeError as error:
                raise DtnodeError(
                    f"{error}\n{_sent(sent)} whether the next {len(texts)} are isn't known."
                ) from error
            sent += len(texts)
    except LineError as error:
        raise DtnodeError(f"{error}\n{_sent(sent)} this one and what follows aren't.") from error


def _sent(number: int) -> str:
    return f"{'The first ' if number else ''}{number or 'No'} messages are in;"


class LineError(DtnodeError):
    """A line of standard input that can't be a message."""


def line_batches(stream: ByteSource) -> Iterator[list[str]]:
    """The lines of `stream` that aren't empty, as they arrive, at most CHUNK_LINES at a time.

    Takes what is there without waiting for more, so that a slow source is sent line by line.
    Raises LineError, after giving out the lines before the bad one.
    """
    number = 0
    texts: list[str] = []
    try:
        for line in _lines(stream):
            number += 1
            if line is None:
                number -= 1
                if texts:
                    yield texts
                    texts = []
                continue
            text = _decode(line, number)
            if text.strip():
                texts.append(text)
            if len(texts) == CHUNK_LINES:
                yield texts
                texts = []
    except LineError:
        if texts:
            yield texts
        raise
    if texts:
        yield texts


def _lines(stream: ByteSource) -> Iterator[bytes | None]:
    """Lines without their end; None where the source has to be waited for."""
    rest = b""
    while data := stream.read1(_READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
        if len(rest) > MAX_LINE_BYTES:
            yield rest  # refused by _decode; never buffer more of it
            return
        yield None
    if rest:
        yield rest


def _decode(line: bytes, number: int) -> str:
    if len(line) > MAX_LINE_BYTES:
        raise LineError(
            f"Line {number} is longer than a message can be ({MAX_LINE_BYTES} bytes). Split it."
        )
    try:
        return line.removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise LineError(f"Line {number} isn't UTF-8 text. Convert it first.") from error
