"""The node's config.toml as values: parse and render. Floor 0.

No file is touched here: dtnode.node.data_folder reads and writes the text; the node and the command
line use the values. Keys that mean nothing are errors, so that a typing mistake can't pass unseen.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from dtnode.errors import ConfigError
from dtnode.link_info import CipherPolicy

OptionValue = str | int | bool
Accept = Literal["known", "anyone"]

ACCEPT_VALUES: tuple[Accept, ...] = ("known", "anyone")
CIPHER_VALUES: tuple[str, ...] = tuple(policy.value for policy in CipherPolicy)
DEFAULT_API_HOST = "127.0.0.1"
MAX_DOMAIN_CHARS = 177
"""With the 52 characters of the key and a dot, 230: the longest server name that the specification
advises (appendices, "Server Name")."""
MAX_LOCALPART_CHARS = 128
"""A user id may have 255 bytes (appendices, "User Identifiers"). 128 leave room for any key with a
domain of 70 characters; `check_user` looks at the sum."""

_LOCALPART = re.compile(r"[a-z0-9._=\-/+]+\Z")
_DOMAIN_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_LINK_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
_KEY_NAME_CHARS = 52

_HEADER = """\
# dtnode: this node's settings. `dtnode link add` and `dtnode link remove` edit the links below;
# a running node reads this file at its start and when a link is added or removed.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConfig:
    """One link to bring up.

    id: unique in this file, such as "tcp-1".
    kind: a transport's name in the entry-point group dtnode.transports.
    options: what goes to that transport, as it is.
    accept: "known" talks only to peers that this node knows, "anyone" to every node that proves
        its key.
    peer: server name that must be at the other end, None for any that `accept` allows.
    cipher: how what goes over it is protected. An open link names no peer: it speaks to all.
    """

    id: str
    kind: str
    options: Mapping[str, OptionValue] = field(default_factory=lambda: MappingProxyType({}))
    accept: Accept = "known"
    peer: str | None = None
    cipher: CipherPolicy = CipherPolicy.SEALED


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Everything in config.toml. `user` is the localpart; the key is in a file of its own."""

    user: str
    domain: str | None = None
    api_host: str = DEFAULT_API_HOST
    api_port: int
    links: tuple[LinkConfig, ...] = ()


def check_user(user: str, domain: str | None = None) -> str:
    """`user` if it can be the localpart of a new user id (appendices, "User Identifiers").

    Raises ConfigError that says which characters are allowed.
    """
    if not _LOCALPART.match(user):
        raise ConfigError(
            f"{user!r} can't be a user name: it takes lowercase letters a-z, digits and . _ = - / +"
            " (only the first part, without @ and server name), at least one."
        )
    longest = min(
        MAX_LOCALPART_CHARS, 255 - 2 - _KEY_NAME_CHARS - (len(domain) + 1 if domain else 0)
    )
    if len(user) > longest:
        raise ConfigError(
            f"The user name has {len(user)} characters; at most {longest} fit here. Shorten it."
        )
    return user


def check_domain(domain: str) -> str:
    """`domain` if it can follow the key in a server name: a lowercase DNS name, no port.

    Raises ConfigError.
    """
    labels = domain.split(".")
    if len(domain) > MAX_DOMAIN_CHARS or not all(_DOMAIN_LABEL.match(label) for label in labels):
        raise ConfigError(
            f"{domain!r} can't be the domain of a server name: it takes a DNS name in lowercase"
            f" such as mesh.example.org, without port, at most {MAX_DOMAIN_CHARS} characters."
        )
    if labels[-1].isdigit():
        raise ConfigError(f"{domain!r} looks like an IP address. Give a DNS name, or none.")
    return domain


def parse_config(text: str) -> NodeConfig:
    """The settings in `text` (TOML). Raises ConfigError that names the line or the key."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"config.toml isn't TOML: {error}. Correct that line.") from error
    _only_keys(data, {"user", "domain", "api", "links"}, "")
    user = _text(data, "user", "")
    domain = _text(data, "domain", "") if "domain" in data else None
    if domain is not None:
        check_domain(domain)
    check_user(user, domain)
    api = data.get("api", {})
    if not isinstance(api, dict):
        raise ConfigError("config.toml: [api] has to be a table with host and port.")
    _only_keys(api, {"host", "port"}, "api.")
    links = data.get("links", [])
    if not isinstance(links, list):
        raise ConfigError("config.toml: links are written as [[links]] tables.")
    return NodeConfig(
        user=user,
        domain=domain,
        api_host=_text(api, "host", "api.") if "host" in api else DEFAULT_API_HOST,
        api_port=_port(api),
        links=_links(links),
    )


def render_config(config: NodeConfig) -> str:
    """`config` as the text of config.toml; parse_config gives it back."""
    import tomli_w  # only writers need it

    data: dict[str, object] = {"user": config.user}
    if config.domain is not None:
        data["domain"] = config.domain
    data["api"] = {"host": config.api_host, "port": config.api_port}
    links = []
    for link in config.links:
        entry: dict[str, object] = {"id": link.id, "kind": link.kind, "accept": link.accept}
        if link.peer is not None:
            entry["peer"] = link.peer
        if link.cipher is not CipherPolicy.SEALED:
            entry["cipher"] = link.cipher.value
        if link.options:
            entry["options"] = dict(link.options)
        links.append(entry)
    if links:
        data["links"] = links
    return _HEADER + "\n" + tomli_w.dumps(data)


def new_link_id(config: NodeConfig, kind: str) -> str:
    """The first free id for a link of this kind: "tcp-1", "tcp-2", ..."""
    taken = {link.id for link in config.links}
    number = 1
    while f"{kind}-{number}" in taken:
        number += 1
    return f"{kind}-{number}"


def _links(entries: list[object]) -> tuple[LinkConfig, ...]:
    links: list[LinkConfig] = []
    for number, entry in enumerate(entries, 1):
        where = f"links[{number}]."
        if not isinstance(entry, dict):
            raise ConfigError("config.toml: links are written as [[links]] tables.")
        link = _link(entry, where)
        if any(other.id == link.id for other in links):
            raise ConfigError(
                f"config.toml: two links have the id {link.id!r}. Give one of them another id."
            )
        links.append(link)
    return tuple(links)


def _link(entry: dict[str, object], where: str) -> LinkConfig:
    _only_keys(entry, {"id", "kind", "accept", "peer", "cipher", "options"}, where)
    link_id = _text(entry, "id", where)
    if not _LINK_ID.match(link_id):
        raise ConfigError(
            f"config.toml: {where}id {link_id!r} can't be an id. It takes lowercase letters,"
            " digits, - and _, 1 to 64 of them."
        )
    accept: Accept
    match entry.get("accept", "known"):
        case "known":
            accept = "known"
        case "anyone":
            accept = "anyone"
        case other:
            raise ConfigError(
                f'config.toml: {where}accept is {other!r}; write "known" or "anyone".'
            )
    options = entry.get("options", {})
    if not isinstance(options, dict) or not all(
        isinstance(value, str | int | bool) for value in options.values()
    ):
        raise ConfigError(
            f"config.toml: {where}options has to be a table of text, whole numbers, true or false."
        )
    peer = _text(entry, "peer", where) if "peer" in entry else None
    return LinkConfig(
        id=link_id,
        kind=_text(entry, "kind", where),
        options=MappingProxyType(dict(options)),
        accept=accept,
        peer=peer,
        cipher=_cipher(entry, where, peer),
    )


def _cipher(entry: dict[str, object], where: str, peer: str | None) -> CipherPolicy:
    value = entry.get("cipher", CipherPolicy.SEALED.value)
    if value not in CIPHER_VALUES:
        raise ConfigError(
            f'config.toml: {where}cipher is {value!r}; write "sealed", "clear" or "open".'
        )
    cipher = CipherPolicy(value)
    if cipher is CipherPolicy.OPEN and peer is not None:
        raise ConfigError(
            f'config.toml: {where}cipher is "open", so whoever hears the link is at its other'
            f" end: remove {where}peer, or make the link sealed or clear."
        )
    return cipher


def _only_keys(table: Mapping[str, object], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(
                f"config.toml: there is no setting {where}{key}. Known here:"
                f" {', '.join(sorted(known))}. Correct or remove it."
            )


def _text(table: Mapping[str, object], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        problem = "is missing" if value is None else "has to be text in quotes"
        raise ConfigError(f'config.toml: {where}{key} {problem}. Write {key} = "...".')
    return value


def _port(api: Mapping[str, object]) -> int:
    port = api.get("port")
    if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= 65535:
        raise ConfigError("config.toml: api.port has to be a port number from 1 to 65535.")
    return port
