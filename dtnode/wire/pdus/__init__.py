"""Signed events near their byte floor: the compact codec of PDU batches (DESIGN section 6).

Not the messages that carry batches (dtnode.wire.codec), nor the text model. Called by dtnode.node
on the store's thread.
"""

from dtnode.wire.messages import Form
from dtnode.wire.pdus.batch import BatchDecoder, BatchEncoder
from dtnode.wire.pdus.context import (
    KnownEvent,
    KnownEvents,
    NothingKnown,
    TextCoder,
    Unreadable,
)
from dtnode.wire.pdus.words import TABLES_VERSION

__all__ = [
    "TABLES_VERSION",
    "BatchDecoder",
    "BatchEncoder",
    "Form",
    "KnownEvent",
    "KnownEvents",
    "NothingKnown",
    "TextCoder",
    "Unreadable",
]
