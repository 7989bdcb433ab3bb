"""Every benchmark runs, at tiny sizes. No time is judged here."""

from __future__ import annotations

import orjson
import pytest

from tests.benchmarks.__main__ import FULL, QUICK, main
from tests.benchmarks.made_conflicts import two_branches
from tests.benchmarks.made_rooms import chat_room


@pytest.mark.parametrize("name", FULL)
def test_it_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick", name])
    printed = capsys.readouterr().out
    assert printed.count("### ") == len(QUICK[name]())
    for line in printed.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")
            assert "nan" not in line


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--quick", "sail"])
    assert exit_.value.code == 2


def test_the_same_room_each_time() -> None:
    assert chat_room("12", 20) == chat_room("12", 20)
    for line in chat_room("10", 20).messages:
        assert 30 <= len(orjson.loads(line)["content"]["body"]) <= 80


def test_both_sides_conflict() -> None:
    conflict = two_branches("12", 20, 40)
    assert 20 <= conflict.conflicted <= 80  # a side's event may stand against one from before
