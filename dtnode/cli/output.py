"""What the commands print: text that is safe on a terminal, JSON, tables.

Names and messages come from other people: control characters and bidirectional overrides in them
are shown escaped, so that they can't move the cursor, forge a line or turn text around. On a
terminal tables are drawn by rich; elsewhere they are rows of tab-separated cells, never wrapped,
shortened or coloured.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import click

UNWRAPPED_COLUMNS = 10_000
"""The width of help that isn't for a terminal: wider than any line of it."""

_UNSAFE = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters, the 8-bit ones (CSI) too
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, embeddings, overrides
    "\u2028\u2029\ufeff"  # line and paragraph separators, byte order mark
    "\ufff9-\ufffb\U000e0001\U000e0020-\U000e007f"  # interlinear annotation, tags: invisible text
    "\ud800-\udfff"  # lone surrogates, which UTF-8 can't carry
    "]"
)
_UNSAFE_IN_JSON = re.compile(f"(?!\n){_UNSAFE.pattern}")


def use_utf8() -> None:
    """UTF-8 on the standard streams, whatever the locale says (LANG=C on small machines)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def printable(text: object) -> str:
    r"""`text` on one line, with what could harm a terminal written as \n, \x1b, \u202e."""
    return _UNSAFE.sub(lambda found: _escape(found[0]), str(text))


def printable_lines(text: object) -> list[str]:
    """As `printable`, but line breaks part the text into lines."""
    return [printable(line) for line in str(text).replace("\r\n", "\n").split("\n")]


def json_line(value: object) -> str:
    """Compact JSON without a line break, safe on a terminal, non-ASCII text readable."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE_IN_JSON.sub(lambda found: _escape_json(found[0]), text)


def echo_json(value: object) -> None:
    """One JSON value: indented for a person at a terminal, else on one line."""
    if sys.stdout.isatty():
        text = json.dumps(value, ensure_ascii=False, indent=2)
        click.echo(_UNSAFE_IN_JSON.sub(lambda found: _escape_json(found[0]), text))
    else:
        click.echo(json_line(value))


def echo_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on a terminal; elsewhere a header and rows, cells parted by tabs."""
    cells = [[printable("" if cell is None else cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in ([column.lower() for column in columns], *cells):
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


@contextlib.contextmanager
def progress_bar(length: int, *, label: str) -> Iterator[Callable[[int], None]]:
    """Gives what is to be told how much of `length` is done. A bar on standard error where that is
    a terminal, else nothing is shown."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield lambda done: bar.update(max(0, done - bar.pos))


def warn(text: str) -> None:
    """To stderr: the command did its work, but the person should know this."""
    click.echo(f"Warning: {printable(text)}", err=True)


def local_time(ms: object, *, seconds: bool = False) -> str:
    """Milliseconds since the epoch as local time; other people's clocks may say anything."""
    try:
        assert isinstance(ms, int)
        moment = datetime.datetime.fromtimestamp(ms / 1000)
    except (AssertionError, ValueError, OverflowError, OSError):
        return "(no such time)"
    return moment.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def ago(ms: int, now_ms: int) -> str:
    """How long before `now_ms` it was, for a person: "just now", "5 min ago", "3 h ago"."""
    seconds = max(0, now_ms - ms) // 1000
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60} min ago"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h ago"
    return f"{seconds // 86400} days ago"


def count(number: int, one: str, many: str = "") -> str:
    """ "1 event", "2 events", "no events"."""
    if number == 1:
        return f"1 {one}"
    return f"{number or 'no'} {many or one + 's'}"


def _escape(char: str) -> str:
    simple = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(char)
    if simple:
        return simple
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_json(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
