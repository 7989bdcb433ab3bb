"""Two nodes by the README alone: what it shows is typed as it stands, and prints what it shows.

Only what differs between any two runs is put in: keys, ports, times, folders, room ids.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dtnode.testing.demo.processes import NodeProcess, end_all, free_port
from tests.e2e.lines import eventually, membership

README = Path(__file__).parents[2] / "README.md"
VARYING = re.compile(
    r"(\b[a-z2-7]{4}…)|(\d{4}-\d\d-\d\d \d\d:\d\d)|(127\.0\.0\.1:\d+)|(![\w-]{43})"
    r"|((?<=Data folder: ).*)"
)
PATTERNS = {  # by group: what may stand in the place of what the README shows
    1: r"[a-z2-7]{52}",
    2: r"\d{4}-\d\d-\d\d \d\d:\d\d",
    3: r"127\.0\.0\.1:\d+",
    4: r"![\w-]{43}",
    5: r".*",
}


@dataclass
class Shown:
    """A command of the README and the lines that it prints there."""

    words: list[str]
    output: list[str] = field(default_factory=list)


def shown(text: str) -> Iterator[Shown]:
    """Those of the section "Two nodes"."""
    section = text.partition("\n## Two nodes\n")[2].partition("\n## ")[0]
    command: Shown | None = None
    for block in re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                if command is not None:
                    yield command
                command = Shown(shlex.split(line[2:]))
            else:
                assert command is not None, f"output without a command: {line}"
                command.output.append(line)
    assert command is not None
    yield command


def pattern(line: str) -> re.Pattern[str]:
    """What the line stands for: equal but for what differs between runs."""
    found, at = "", 0
    for match in VARYING.finditer(line):
        found += re.escape(line[at : match.start()]) + PATTERNS[match.lastindex or 0]
        at = match.end()
    return re.compile(found + re.escape(line[at:]))


class Reader:
    """Somebody with the README at hand."""

    def __init__(self, root: Path) -> None:
        self.nodes: dict[str, NodeProcess] = {}
        self._root = root
        self._meant: dict[str, str] = {}  # what stands in the README -> what it is here

    def type(self, command: Shown) -> list[str]:
        """What the command prints. `run` goes on in the background."""
        words = [self._here(word) for word in command.words]
        assert words[:2] == ["dtnode", "--data"]
        node = self.nodes.setdefault(words[2], NodeProcess(words[2], self._root))
        if words[3:] == ["run"]:
            return node.run().out_path.read_text("utf-8").splitlines()
        if words[3:5] == ["room", "join"]:
            eventually(lambda: membership(node, words[5]) == "invite", "the invite has come")
        printed = node.cli(*words[3:]).splitlines()
        self._learn(command.output, printed)
        return printed

    def _learn(self, in_readme: list[str], here: list[str]) -> None:
        for theirs, ours in zip(in_readme, here, strict=True):
            if theirs.startswith("Server name: "):
                self._meant[theirs.partition(": ")[2]] = ours.partition(": ")[2]

    def _here(self, word: str) -> str:
        if re.fullmatch(r"127\.0\.0\.1:\d+", word):
            return self._meant.setdefault(word, f"127.0.0.1:{free_port()}")
        for theirs, ours in self._meant.items():
            word = word.replace(theirs, ours)
        return word


def test_two_nodes_by_the_readme_alone(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    try:
        for command in shown(README.read_text("utf-8")):
            name = command.words[2]
            if command.words[3:] == ["send", "boat", "ben? the storm is here"]:
                reader.nodes["ben"].stop()  # "Ctrl-C in Ben's terminal"
            if command.words[3] == "read":
                _settle(reader, command)
            printed = reader.type(command)
            assert len(printed) == len(command.output), printed
            for theirs, ours in zip(command.output, printed, strict=True):
                assert pattern(theirs).fullmatch(ours), (name, theirs, ours)
        anna, ben = reader.nodes["anna"], reader.nodes["ben"]
        ben.run()
        eventually(
            lambda: "(2 of 2)" in anna.cli("read", "boat", "--limit", "1"), "ben's node has it"
        )
        assert ben.texts("boat")[-1] == "ben? the storm is here"
    finally:
        end_all(reader.nodes.values())


def _settle(reader: Reader, command: Shown) -> None:
    """A person is slower than the nodes are; a test has to wait for them."""
    node = reader.nodes[command.words[2]]

    def as_shown() -> bool:
        printed = node.cli(*command.words[3:]).splitlines()
        return len(printed) == len(command.output) and all(
            pattern(theirs).fullmatch(ours)
            for theirs, ours in zip(command.output, printed, strict=True)
        )

    eventually(as_shown, f"it prints what the README shows for {shlex.join(command.words)}")


@pytest.mark.parametrize("target", ["make demo", "make test"])
def test_the_readme_has_the_make_targets_at_the_start_of_a_line(target: str) -> None:
    assert re.search(rf"^{target}\b", README.read_text("utf-8"), re.MULTILINE)
