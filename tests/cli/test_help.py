"""Every command and option has help; what the README shows exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dtnode.cli.root import dtnode
from tests.cli.conftest import Command

README = Path(__file__).parents[2] / "README.md"
ISSUE_COMMANDS = """
    init, link add tcp, link list, link remove, run, status, password,
    peer add, peer list, peer name, peer block, peer remove,
    room create, room list, room invite, room join, room leave, room kick, room ban, room unban,
    room members, room state, room set, room explain, room diff, send, read, gaps,
    export, import, audit, backup, restore
"""
NO_JSON = {"run", "export", "link remove", "peer remove"}
NO_JSON |= {f"room {name}" for name in ("invite", "join", "knock", "leave", "kick", "ban", "unban")}


def walk(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(words), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from walk(child, (*words, name))


TREE = dict(walk(dtnode))
LEAVES = {name: one for name, one in TREE.items() if not isinstance(one, click.Group)}


@pytest.mark.parametrize("name", TREE)
def test_every_command_and_option_has_help(run: Command, name: str) -> None:
    result = run(*name.split(), "--help")
    assert result.exit_code == 0
    assert TREE[name].help
    for parameter in TREE[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name}: {parameter.name} has no help"


def test_the_commands_of_the_contract_are_here() -> None:
    assert {name.strip() for name in ISSUE_COMMANDS.split(",")} <= set(LEAVES)


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_that_prints_data_has_json(name: str) -> None:
    options = {opt for parameter in LEAVES[name].params for opt in parameter.opts}
    assert ("--json" in options) == (name not in NO_JSON)


def documented_commands() -> list[str]:
    """`dtnode ...` lines in the README's fenced blocks: those after a $ prompt where a block has
    any, for the rest of it is output."""
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    found = []
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        prompt = "$ " if re.search(r"^\$ ", block, re.MULTILINE) else ""
        lines = [line.strip() for line in block.splitlines()]
        found += [line[len(prompt) :] for line in lines if line.startswith(f"{prompt}dtnode ")]
    return found


def check_documented(line: str) -> None:
    """AssertionError unless the command and every option in `line` exist."""
    words = [word for word in shlex.split(line, comments=True)[1:] if word]
    command: click.Command = dtnode
    known = {"--help", *_options(dtnode)}
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            option = word.partition("=")[0]
            assert option in known, f"{line}: there is no option {option}"
            if "=" not in word and not _is_flag(command, option) and words:
                words.pop(0)
        elif isinstance(command, click.Group):
            child = command.get_command(click.Context(command), word)
            assert child is not None, f"{line}: there is no command {word}"
            command = child
            known |= _options(command)
    assert not isinstance(command, click.Group), f"{line}: names no whole command"


def _options(command: click.Command) -> set[str]:
    return {opt for parameter in command.params for opt in parameter.opts if opt[:2] == "--"}


def _is_flag(command: click.Command, option: str) -> bool:
    return any(
        option in parameter.opts and isinstance(parameter, click.Option) and parameter.is_flag
        for parameter in (*dtnode.params, *command.params)
    )


def test_what_the_readme_shows_exists() -> None:
    for line in documented_commands():
        check_documented(line)


@pytest.mark.parametrize(
    "line", ["dtnode sail", "dtnode room", "dtnode read boat --limits 3", "dtnode --dat x status"]
)
def test_the_readme_check_finds_mistakes(line: str) -> None:
    check_documented("dtnode --data a link add tcp --dial 127.0.0.1:1 --json  # a comment")
    with pytest.raises(AssertionError, match=r"there is no|names no"):
        check_documented(line)
