"""`dtnode link ...`: the links in config.toml. They work with and without a running node, which is
told of every change."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import replace

import click

from dtnode.cli.api import OWN_API, JsonObject, NodeApi
from dtnode.cli.common import json_option, pass_folder
from dtnode.cli.link_trace import trace
from dtnode.cli.output import echo_json, echo_table, warn
from dtnode.config import (
    ACCEPT_VALUES,
    CIPHER_VALUES,
    Accept,
    LinkConfig,
    NodeConfig,
    OptionValue,
    new_link_id,
)
from dtnode.errors import ConfigError, DtnodeError
from dtnode.link_info import CipherPolicy
from dtnode.node.data_folder import DataFolder

_SETTLE_S, _SETTLE_LOOKS = 0.1, 10  # a second: opening a socket takes milliseconds
_OPTION_NAME = re.compile(r"--[a-z][a-z0-9-]*\Z")

accept_option = click.option(
    "--accept",
    type=click.Choice(ACCEPT_VALUES),
    default="known",
    show_default=True,
    help="Whom this link talks to: known peers only, or anyone who proves a key. A stranger learns"
    " nothing of your rooms either way.",
)
peer_option = click.option(
    "--peer",
    metavar="SERVER_NAME",
    help="The node that must be at the other end; it becomes known by this. Without --peer, it has"
    " to be known already: see dtnode peer add.",
)
cipher_option = click.option(
    "--cipher",
    type=click.Choice(CIPHER_VALUES),
    default=CipherPolicy.SEALED.value,
    show_default=True,
    help="sealed: nobody else can read what goes over the link. clear: everybody who hears it can"
    " read it and nobody can change it; for amateur radio bands, where encryption is forbidden."
    " open: sent to nobody in particular, one way. Over the last two go only rooms that you permit:"
    " see dtnode room permit.",
)

READABLE = {
    CipherPolicy.CLEAR: "Everybody who hears this link can read what goes over it: the messages,"
    " who writes them, and the names of the nodes at both ends. Nobody can change it unnoticed."
    " That is meant for amateur radio bands, where encryption is forbidden; everywhere else leave"
    " --cipher clear out.",
    CipherPolicy.OPEN: "This link sends to nobody in particular: everybody who hears it can read"
    " all of it, and nothing tells whether anybody did. It goes one way, so whoever missed"
    " something gets it over another link.",
}
_ONLY_PERMITTED = (
    "Of your rooms only those go over it that you permit one by one, with: dtnode room permit ROOM"
    " --clear-links yes"
)


class AddGroup(click.Group):
    """`link add KIND`: tcp with its own help; every other installed transport takes --NAME VALUE
    pairs, which go to it as they are."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return sorted({*self.commands, *_installed_kinds()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = super().get_command(ctx, cmd_name)
        if known is None and cmd_name in _installed_kinds():
            return _generic_add(cmd_name)
        return known


def register(group: click.Group) -> None:
    link.add_command(trace)
    group.add_command(link)


@click.group()
def link() -> None:
    """Ways to reach other nodes."""


@link.group(cls=AddGroup)
def add() -> None:
    """Add a link; a running node brings it up at once."""


@add.command("tcp")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Wait for connections here; :PORT for all of this machine's addresses.",
)
@click.option("--dial", metavar="HOST:PORT", help="Connect to there, again and again.")
@peer_option
@click.option(
    "--bitrate",
    type=click.IntRange(min=1),
    metavar="N",
    help="Bits a second of a slow line underneath, such as a radio bridge.",
)
@accept_option
@cipher_option
@json_option
@pass_folder
def add_tcp(
    folder: DataFolder,
    listen: str | None,
    dial: str | None,
    peer: str | None,
    bitrate: int | None,
    accept: Accept,
    cipher: str,
    as_json: bool,
) -> None:
    """Over TCP: give either --listen or --dial."""
    if (listen is None) == (dial is None):
        raise click.UsageError("Give one of --listen HOST:PORT and --dial HOST:PORT.")
    if peer is not None and listen is not None:
        raise click.UsageError(
            "--peer goes with --dial. Who may connect to a listening link is said with"
            " `dtnode peer add`, or with --accept anyone."
        )
    given = {"listen": listen, "dial": dial, "bitrate": bitrate}
    options = {name: value for name, value in given.items() if value is not None}
    entry = LinkConfig(
        id="", kind="tcp", options=options, accept=accept, peer=peer, cipher=CipherPolicy(cipher)
    )
    _add(folder, entry, as_json=as_json)


@link.command("list")
@json_option
@pass_folder
def list_links(folder: DataFolder, as_json: bool) -> None:
    """The links of this node's settings (`dtnode status` says how they do)."""
    links = folder.open().read_config().links
    if as_json:
        echo_json([_as_json(entry) for entry in links])
        return
    echo_table(
        ("Id", "Kind", "Options", "Peer", "Accept", "Cipher"),
        [
            (
                entry.id,
                entry.kind,
                " ".join(f"{key}={value}" for key, value in entry.options.items()),
                entry.peer,
                entry.accept,
                entry.cipher.value,
            )
            for entry in links
        ],
    )


@link.command()
@click.argument("link_id", metavar="ID")
@pass_folder
def remove(folder: DataFolder, link_id: str) -> None:
    """Remove the link ID (see `dtnode link list`); a running node closes it at once."""

    def without(config: NodeConfig) -> NodeConfig:
        kept = tuple(entry for entry in config.links if entry.id != link_id)
        if len(kept) == len(config.links):
            there = ", ".join(entry.id for entry in config.links) or "none"
            raise ConfigError(f"There is no link {link_id!r}. The links here: {there}.")
        return replace(config, links=kept)

    folder.edit_config(without)
    _reload(folder, None)


def _add(folder: DataFolder, wanted: LinkConfig, *, as_json: bool) -> None:
    """wanted: the link, but for its id."""
    folder.open()
    if wanted.peer is not None:
        _check_peer(folder, wanted.peer, wanted)
    _check_options(wanted.kind, wanted.options)
    added: list[LinkConfig] = []

    def with_it(config: NodeConfig) -> NodeConfig:
        entry = replace(wanted, id=new_link_id(config, wanted.kind))
        for other in config.links:
            if other == replace(entry, id=other.id):
                raise ConfigError(f"There is such a link already: {other.id}. Nothing was changed.")
        added.append(entry)
        return replace(config, links=(*config.links, entry))

    folder.edit_config(with_it)
    if as_json:
        echo_json(_as_json(added[0]))
    else:
        click.echo(added[0].id)
    if wanted.cipher in READABLE:
        warn(f"{READABLE[wanted.cipher]} {_ONLY_PERMITTED}")
    _reload(folder, added[0].id)


def _check_peer(folder: DataFolder, peer: str, wanted: LinkConfig) -> None:
    from dtnode.matrix.server_names import key_from_server_name

    if wanted.accept == "anyone":
        raise click.UsageError("--peer names the one to talk to; --accept anyone contradicts it.")
    if wanted.cipher is CipherPolicy.OPEN:
        raise click.UsageError(
            "--peer names the one to talk to; --cipher open speaks to whoever hears it."
        )
    if key_from_server_name(peer) is None:
        raise click.UsageError(
            f"{peer!r} isn't a node's server name: that is 52 characters of a-z and 2-7, perhaps"
            " with a domain behind them. `dtnode status` on the other node shows it."
        )
    if peer == folder.identity.server_name:
        raise click.UsageError("--peer names this node itself. Give the other node's server name.")


def _check_options(kind: str, options: Mapping[str, OptionValue]) -> None:
    """Let the transport itself look at the options, before they are written down."""
    from dtnode.link import load_transport

    try:
        load_transport(kind, options)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _reload(folder: DataFolder, added_id: str | None) -> None:
    """Tell the running node, if there is one. What was saved stays saved whatever it answers."""
    if not folder.is_running():
        return
    try:
        with NodeApi(folder) as api:
            links = api.post(f"{OWN_API}/links/reload", {})["links"]
            links = _settled(api, links, added_id)
    except DtnodeError as error:
        warn(f"The settings are saved, but the running node hasn't taken them up: {error}")
        return
    for entry in links:
        if entry["id"] == added_id and entry.get("state") == "failed":
            warn(f"The link is saved, but doesn't come up: {entry.get('detail')}")


def _settled(api: NodeApi, links: list[JsonObject], added_id: str | None) -> list[JsonObject]:
    """The links as soon as a listening one that was just added listens or can't; a link that dials
    may do so for days."""
    for _ in range(_SETTLE_LOOKS):
        if not any(
            entry["id"] == added_id
            and "listen" in entry.get("options", {})
            and entry.get("state") == "dialling"
            for entry in links
        ):
            break
        time.sleep(_SETTLE_S)
        links = api.get(f"{OWN_API}/status")["links"]
    return links


def _as_json(entry: LinkConfig) -> dict[str, object]:
    return {
        "id": entry.id,
        "kind": entry.kind,
        "options": dict(entry.options),
        "peer": entry.peer,
        "accept": entry.accept,
        "cipher": entry.cipher.value,
    }


def _installed_kinds() -> tuple[str, ...]:
    from dtnode.link import transport_kinds

    return transport_kinds()


def _generic_add(kind: str) -> click.Command:
    @click.command(
        kind,
        context_settings={"ignore_unknown_options": True},
        help=f"Over {kind}. Options of this transport are given as --NAME VALUE.",
    )
    @click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[--NAME VALUE]...")
    @peer_option
    @accept_option
    @cipher_option
    @json_option
    @pass_folder
    def command(
        folder: DataFolder,
        options: tuple[str, ...],
        peer: str | None,
        accept: Accept,
        cipher: str,
        as_json: bool,
    ) -> None:
        entry = LinkConfig(
            id="",
            kind=kind,
            options=parse_pairs(options),
            accept=accept,
            peer=peer,
            cipher=CipherPolicy(cipher),
        )
        _add(folder, entry, as_json=as_json)

    return command


def parse_pairs(words: tuple[str, ...]) -> dict[str, OptionValue]:
    """--name value, --name=value and --flag (True) as options; values stay text, which the
    transport reads. UsageError for anything else."""
    options: dict[str, OptionValue] = {}
    rest = list(words)
    while rest:
        name, has_value, value = rest.pop(0).partition("=")
        if not _OPTION_NAME.match(name):
            raise click.UsageError(f"{name!r} isn't an option. Write --NAME VALUE.")
        key = name[2:].replace("-", "_")
        if key in options:
            raise click.UsageError(f"{name} is given twice.")
        if has_value:
            options[key] = value
        elif rest and not rest[0].startswith("--"):
            options[key] = rest.pop(0)
        else:
            options[key] = True
    return options
