"""Short texts in few bytes for slow links. `model` has the interface; see there."""

from dtnode.wire.text_model.model import TABLE_VERSION, TextModel

__all__ = ["TABLE_VERSION", "TextModel"]
