"""What the command modules share: the options and decorators that look the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from dtnode.node.data_folder import DataFolder

Decorated = TypeVar("Decorated", bound=Callable[..., object])

pass_folder = click.make_pass_decorator(DataFolder)


def json_option(command: Decorated) -> Decorated:
    """--json, as the argument `as_json`."""
    option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
    return option(command)
