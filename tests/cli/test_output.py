"""What reaches a terminal: nothing that other people could do harm with, nothing shortened."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.cli.output import ago, count, echo_table, json_line, local_time, printable

any_text = st.text(st.characters())
DANGEROUS = "\x00\x07\x08\x0a\x0d\x1b\x7f\x9b\u200e\u202e\u2066\u2028\u061c\U000e0041\ud800"


@given(any_text | st.text(DANGEROUS))
def test_printable_text_is_one_line_without_control_characters(text: str) -> None:
    shown = printable(text)
    assert not [char for char in shown if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")]
    assert not [c for c in shown if unicodedata.bidirectional(c) in ("RLO", "LRO", "RLE", "LRE")]
    assert not [char for char in shown if unicodedata.bidirectional(char) in ("RLI", "LRI", "FSI")]
    shown.encode("utf-8")


def test_ordinary_text_of_any_language_stays() -> None:
    text = "Grüße, שלום, 你好, नमस्ते, می‌خواهم, 👩‍🚀"
    assert printable(text) == text


def test_escapes_can_be_read() -> None:
    assert printable("a\nb\x1b[31m\u202e\U000e0041") == "a\\nb\\x1b[31m\\u202e\\U000e0041"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | any_text | st.text(DANGEROUS),
    lambda inner: st.lists(inner) | st.dictionaries(any_text, inner),
    max_leaves=10,
)


@given(json_values)
def test_a_json_line_is_one_safe_line_and_the_same_value(value: object) -> None:
    line = json_line(value)
    assert json.loads(line) == value
    assert printable(line.replace("\\", "")) == line.replace("\\", "")
    line.encode("utf-8")


def test_tables_elsewhere_than_on_a_terminal_are_rows_of_cells(
    capsys: pytest.CaptureFixture[str],
) -> None:
    echo_table(("Name", "Id"), [("x" * 300, "a\tb\nc"), (None, 3)])
    assert capsys.readouterr().out == f"name\tid\n{'x' * 300}\ta\\tb\\nc\n\t3\n"


def test_tables_on_a_terminal_show_everything_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    echo_table(("Name", "Id"), [("x" * 100, "[bold]not markup[/bold] \x1b[31m")])
    out = capsys.readouterr().out
    assert out.count("x") >= 100
    assert "[bold]" in "".join(out.split())
    assert "\x1b[31m" not in out


@pytest.mark.parametrize("ms", [None, "1", 2**53, -(2**53), 10**40])
def test_times_that_do_not_exist(ms: object) -> None:
    assert local_time(ms) == "(no such time)"


def test_words_for_times_and_numbers() -> None:
    hour = 3_600_000
    assert ago(0, 59_000) == "just now"
    assert ago(5 * hour, 0) == "just now"
    assert ago(0, 90_000) == "1 min ago"
    assert ago(0, 3 * hour) == "3 h ago"
    assert ago(0, 72 * hour) == "3 days ago"
    assert [count(n, "entry", "entries") for n in (0, 1, 2)] == [
        "no entries",
        "1 entry",
        "2 entries",
    ]
