"""The bytes of `make bench-wire`, a few of its links: they hardly depend on the machine.

No times."""

from __future__ import annotations

import pytest

from dtnode.wire.text_model import TextModel
from dtnode.wire.text_model.priming import phrases
from tests.benchmarks.wire import missed
from tests.benchmarks.wire_codec import codec_table
from tests.benchmarks.wire_live import link_of, measure
from tests.benchmarks.wire_texts import LINES
from tests.wire.pdus.samples import CHAT, TEXT_30, TEXT_200


def test_what_is_measured_is_not_in_the_dictionary() -> None:
    known = {phrase.decode().strip().lower() for phrase in phrases()}
    for line in (*LINES, *CHAT, TEXT_30, TEXT_200):
        assert line.lower() not in known
    assert {len(line) for line in LINES} == {30}
    assert len(set(LINES)) == 40


@pytest.mark.parametrize(
    ("mtu", "model", "talk", "alone", "batch", "handshake"),
    [
        (None, True, 110, 110, 90, 120),
        (None, False, 120.5, 120.5, 105, 120),
        (222, True, 110, 110, 90, 180),
        (20, True, 114, 117, 96, 210),
    ],
)
def test_bytes_on_a_live_link(
    mtu: int | None, model: bool, talk: float, alone: float, batch: float, handshake: int
) -> None:
    """The targets where they are reached, else what is, so that nothing gets larger unseen."""
    measured = measure(link_of(mtu, model=model), lines=10, batch=50)
    assert measured.talk <= talk
    assert measured.alone <= alone
    assert measured.batch <= batch
    assert measured.handshake <= handshake


def test_targets_are_judged() -> None:
    measured = measure(link_of(None, model=True), lines=4)
    assert [str(found) for found in missed({None: measured}, {None: measured})] == []
    worse = measure(link_of(20, model=False), lines=4, batch=10)
    (first, *others) = missed({20: worse}, {20: measured})
    assert str(first).startswith("MTU 20, a message, text model: 13")
    assert len(others) == 1


def test_the_table_of_one_event_of_each_kind() -> None:
    table = codec_table("12", TextModel())
    assert len(table.rows) == 14
    text = table.rows[0]
    assert text[0] == "text, 30 characters"
    json, cbor, msc3079, _, ours, floor = (int(cell.strip("*")) for cell in text[1:7])
    assert json > cbor > msc3079 > 5 * ours
    assert floor <= ours <= floor + 1
