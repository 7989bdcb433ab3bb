"""Finding transports by entry point, and the checks that every transport shares."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import dtnode_transports
from dtnode import link
from dtnode.errors import ConfigError, LocalProtocolError
from dtnode.link import check_frame, load_transport, transport_kinds
from dtnode.link_info import LinkInfo
from dtnode_transports.tcp import TcpTransport


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = tuple(
        EntryPoint(name=name, value=value, group=link.ENTRY_POINT_GROUP)
        for name, value in {
            "tcp": "dtnode_transports.tcp:TcpTransport",
            "pigeon": "dtnode_no_such_package:Pigeon",
            "empty": "dtnode_transports.tcp:NoSuchName",
        }.items()
    )
    monkeypatch.setattr(link, "_installed", lambda: points)


def test_a_kind_is_loaded_with_its_options() -> None:
    assert isinstance(load_transport("tcp", {"listen": "127.0.0.1:4000"}), TcpTransport)


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="'udp'; installed are: empty, pigeon, tcp"):
        load_transport("udp", {})
    assert transport_kinds() == ("empty", "pigeon", "tcp")


def test_bad_options_pass_through() -> None:
    with pytest.raises(ConfigError, match="either listen or dial"):
        load_transport("tcp", {})


@pytest.mark.parametrize("kind", ["pigeon", "empty"])
def test_a_kind_that_fails_to_load_is_a_config_error(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"'{kind}' can't be used"):
        load_transport(kind, {})


def test_every_transport_of_the_project_is_registered() -> None:
    settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    registered = settings["project"]["entry-points"][link.ENTRY_POINT_GROUP]
    modules = {path.stem for path in Path(dtnode_transports.__path__[0]).glob("[a-z]*.py")}
    assert modules == {value.partition(":")[0].rpartition(".")[2] for value in registered.values()}
    for name, value in registered.items():
        assert callable(EntryPoint(name=name, value=value, group="x").load())


@pytest.mark.parametrize("size", [0, 65])
def test_frames_of_wrong_size_are_the_senders_mistake(size: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"{size} bytes can't be sent .* takes 1 to 64"):
        check_frame(LinkInfo(mtu_bytes=64), bytes(size))
