"""The top of the command tree: --data, --version, and errors as one or two lines on stderr."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from dtnode.cli import archive, link, node, peer, permit, room, talk, upkeep
from dtnode.cli.output import UNWRAPPED_COLUMNS, printable_lines
from dtnode.errors import DtnodeError
from dtnode.node.data_folder import DataFolder, default_data_path


class RootGroup(click.Group):
    """Turns errors made for people into exit code 1 with their text; lists commands as added."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DtnodeError as error:
            raise click.ClickException("\n".join(printable_lines(error))) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # `dtnode read ... | head`: click ends it quietly
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(
                "\n".join(printable_lines(f"{where}{error.strerror or error}"))
            ) from error

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(self.commands)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            click.echo(f"dtnode {version('dtnode')}")
        except PackageNotFoundError:
            click.echo("dtnode (from its source, not installed)")
        ctx.exit()


@click.group(
    cls=RootGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="DTNODE_DATA",
    metavar="DIR",
    help="The node's data folder. Else the environment's DTNODE_DATA, else the platform's place"
    " for a program's data.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print dtnode's version.",
)
@click.pass_context
def dtnode(ctx: click.Context, data: Path | None) -> None:
    """Matrix rooms for places without the internet.

    Make a node with `init`, give it links with `link add`, start it with `run`, and talk in rooms.
    ROOM is a room's id (in single quotes: shells take its ! for themselves) or its name. USER is a
    user id, the beginning of a person's key (4 characters or more), a name given with `peer name`,
    or what the person is called here, if nobody else is.
    """
    ctx.obj = DataFolder(data if data is not None else default_data_path())


COMMANDS: tuple[Callable[[click.Group], None], ...] = (
    node.register,
    link.register,
    peer.register,
    room.register,
    permit.register,
    talk.register,
    archive.register,
    upkeep.register,
)

for _register in COMMANDS:
    _register(dtnode)


def _whole_sentences(group: click.Group) -> None:
    """Lists of commands wrap each one's first sentence; click would cut it off with "..."."""
    for command in group.commands.values():
        command.short_help = command.get_short_help_str(UNWRAPPED_COLUMNS)
        if isinstance(command, click.Group):
            _whole_sentences(command)


_whole_sentences(dtnode)
