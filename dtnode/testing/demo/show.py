"""The demo's story and findings for people, by rich: in colour on a terminal, plain elsewhere."""

from __future__ import annotations

import sys
from hashlib import sha256
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dtnode.testing.demo.findings import Conflict, Deed
from dtnode.testing.demo.story import CUT, LEFT, STAYING, Check, Exchange, Report, Step, View

_PLAIN_COLUMNS = 1_000
"""Where the output isn't a terminal: nothing is folded there."""

_VERDICTS = {
    "accepted": Text("✓", "green"),
    "soft-failed": Text("soft", "yellow"),
    "rejected": Text("✗", "red"),
}
_SHORT_HASH_CHARS = 10


def make_console() -> Console:
    """For standard output."""
    width = None if sys.stdout.isatty() else _PLAIN_COLUMNS
    return Console(highlight=False, width=width, soft_wrap=False)


def tell(console: Console, news: Step | Check) -> None:
    """One line, as it happens."""
    if isinstance(news, Step):
        console.print(Text.assemble((f"{news.at_s:5.1f} s  ", "dim"), (news.text, "bold")))
        return
    mark = ("ok   ", "green") if news.ok else ("FAIL ", "bold red")
    line = Text.assemble("         ", mark, news.what)
    if news.detail:
        line.append(f": {news.detail}", "dim")
    console.print(line)


def show(console: Console, report: Report) -> None:
    """The findings, after the story."""
    for when, title in (
        ("together", "Together: what each node had"),
        ("apart", "Apart, before the line was mended: what each node had"),
        ("end", "In the end: what each node had"),
    ):
        if when in report.views:
            _print(console, title, _views(report.views[when]))
    if report.exchanges:
        _print(console, "What was exchanged after the mending", _exchanges(report.exchanges))
        console.print(_exchanged(report), style="dim")
    if report.across:
        _print(console, "Where the bytes across the cut went", _across(report.across))
        console.print(
            "rest: lengths inside what is sealed, the first word of the session."
            " `dtnode link trace --summary` shows this of any link.",
            style="dim",
        )
    if report.deeds:
        title = "What was done while apart, and how each node judges it"
        _print(console, title, _deeds(report.deeds))
        console.print(
            "✓ accepted. soft: soft-failed, that is stored, passed on and part of the history that"
            " is compared, but not of what the state here is made from; this depends on what a"
            " node knew when the event came, tips and tip state don't.",
            style="dim",
        )
    if report.conflicts:
        title = "What the sides saw differently, and what all agree on now"
        _print(console, title, _conflicts(report.conflicts))
    failed = [check for check in report.checks if not check.ok]
    console.print()
    if failed:
        console.print(f"NOT as it must be: {failed[0].what}", style="bold red")
    else:
        console.print(
            f"All {len(report.checks)} checks hold: {', '.join(STAYING)} are of one mind, and"
            f" frank ends with his ban. {report.seconds:.1f} s.",
            style="bold green",
        )


def fingerprint(tips: tuple[str, ...]) -> str:
    """One hash for a list of tips."""
    return sha256("\n".join(tips).encode()).hexdigest()


def _print(console: Console, title: str, table: Table) -> None:
    console.print()
    console.print(title, style="bold")
    console.print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _views(views: dict[str, View]) -> Table:
    table = _table(
        "Node", "Side", "Is", "Events", "Soft-failed", "Members", "Tips", "Hash of tips",
        "Tip state",
    )  # fmt: skip
    for name, view in views.items():
        tips, state = fingerprint(view.tips), view.tip_state
        table.add_row(
            name,
            "left" if name in LEFT else "right",
            view.membership,
            str(view.events),
            str(view.soft_failed),
            str(view.members),
            str(len(view.tips)),
            _coloured(tips),
            _coloured(state),
        )
    return table


def _coloured(digest: str) -> Text:
    """Equal values in equal colours, so that one look shows who agrees."""
    colours = ("cyan", "magenta", "yellow", "green", "blue", "red")
    return Text(digest[:_SHORT_HASH_CHARS], colours[int(digest[:4], 16) % len(colours)])


def _exchanges(exchanges: list[Exchange]) -> Table:
    table = _table(
        "Hop", "Events →", "Events ←", "Bytes →", "Bytes ←", "Bytes an event", "Turnarounds", ""
    )  # fmt: skip
    for hop in exchanges:
        table.add_row(*_exchange_cells(hop), style="bold" if hop.between == CUT else "")
    return table


def _exchanged(report: Report) -> str:
    text = (
        f"New to the left: {report.news.get('left')} events; new to the right:"
        f" {report.news.get('right')}. Events that were sent twice are counted twice."
        " Bytes are those of whole frames: sealing, acknowledgements and all that the nodes told"
        " each other of their rooms. Only TCP's own aren't in them."
    )
    if report.mended_in_s is not None:
        text += f" All five agreed {report.mended_in_s:.1f} s after the link was there."
    return text


def _exchange_cells(hop: Exchange) -> list[str]:
    return [
        " -- ".join(hop.between),
        str(hop.events_there),
        str(hop.events_back),
        f"{hop.bytes_there:,}",
        f"{hop.bytes_back:,}",
        "" if hop.bytes_per_event is None else f"{hop.bytes_per_event:.0f}",
        str(hop.turnarounds),
        "across the cut, with the handshake" if hop.new_link else "",
    ]


def _across(rows: list[dict[str, Any]]) -> Table:
    table = _table("What", "Bytes →", "Bytes ←", "Share")
    total = sum(row["bytes"] for row in rows)
    kinds: dict[str, list[int]] = {}
    for row in rows:
        kinds.setdefault(row["kind"], [0, 0])[not row["incoming"]] += row["bytes"]
    for kind, (there, back) in sorted(kinds.items(), key=lambda item: -sum(item[1])):
        share = 100 * (there + back) / total
        table.add_row(kind, f"{there:,}", f"{back:,}", f"{share:.1f} %")
    return table


def _deeds(deeds: list[Deed]) -> Table:
    table = _table("Who", "What", *STAYING, "In the state", "Why soft-failed")
    for deed in deeds:
        times = f" ({deed.count} times)" if deed.count > 1 else ""
        table.add_row(
            deed.who,
            Text(deed.what + times),
            *(_verdict(deed.verdicts[name]) for name in STAYING),
            _holds(deed.holds),
            Text("; ".join(deed.reasons)),
        )
    return table


def _holds(holds: bool | None) -> Text:
    if holds is None:
        return Text()
    return Text("holds", "green") if holds else Text("lost", "red")


def _verdict(verdict: str) -> Text:
    return _VERDICTS.get(verdict) or Text(verdict, "yellow")


def _conflicts(conflicts: list[Conflict]) -> Table:
    table = _table("What", "Left", "Right", "Holds", "Why")
    for conflict in conflicts:
        left, right = (
            Text(text, "green" if conflict.won == side else "strike")
            for side, text in (("left", conflict.left), ("right", conflict.right))
        )
        table.add_row(conflict.what, left, right, conflict.won, Text(conflict.why))
    return table
