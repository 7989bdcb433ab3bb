"""Identifiers by the specification's grammar, and server names that are keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.errors import ConfigError, FormatError
from dtnode.matrix.identifiers import (
    is_event_id,
    is_new_localpart,
    is_room_id,
    is_server_name,
    is_user_id,
    server_name_of,
    split_user_id,
)
from dtnode.matrix.server_names import key_from_server_name, server_name_from_key

HASH = "qYBj9ysnKB-tUQoB3yUO9SpDT6iAPiLURTM5m2FtrUY"


@pytest.mark.parametrize(
    "name",
    [
        "matrix.org",
        "matrix.org:8888",
        "1.2.3.4",
        "1.2.3.4:1234",
        "[1234:5678::abcd]",
        "[1234:5678::abcd]:5678",
    ],
)
def test_server_names_of_the_specification(name: str) -> None:
    assert is_server_name(name)
    assert split_user_id(f"@a:{name}") == ("a", name)
    assert server_name_of(f"!room:{name}") == name


@pytest.mark.parametrize(
    "name", ["", "a b", "a_b", "a:", "a:123456", "[::1", "::1", "a\n", "ä.org"]
)
def test_no_server_names(name: str) -> None:
    assert not is_server_name(name)
    assert not is_user_id(f"@a:{name}")


def test_user_ids() -> None:
    assert is_user_id("@:a.test")
    assert is_user_id("@Ünï cödé/=:a.test")
    for text in ("alice", "@alice", "alice:a.test", "@a\0b:a.test", "!a:a.test", ""):
        assert not is_user_id(text)
        with pytest.raises(FormatError, match="not a user id"):
            split_user_id(text)
    with pytest.raises(FormatError, match="no server name"):
        server_name_of("@alice")


def test_new_users_have_plain_names() -> None:
    assert is_new_localpart("alice_1.2=3-4/5+6")
    assert not any(map(is_new_localpart, ("", "Alice", "a b", "ä", "a:b", "a\n")))


def test_room_and_event_ids() -> None:
    assert is_room_id("!x:a.test", with_domain=True)
    assert not is_room_id("!x", with_domain=True)
    assert is_room_id("!" + HASH, with_domain=False)
    assert not is_room_id("!x:a.test", with_domain=False)
    assert not is_room_id("$" + HASH, with_domain=False)
    assert is_event_id("$" + HASH)
    assert not is_event_id("!" + HASH)
    assert not is_event_id("$" + HASH + "x")
    assert not is_event_id("$" + HASH.replace("-", "+"))


@given(st.binary(min_size=32, max_size=32), st.sampled_from([None, "mesh.example.org", "a-1.b"]))
def test_a_server_name_is_its_key(key: bytes, domain: str | None) -> None:
    name = server_name_from_key(key, domain)
    assert key_from_server_name(name) == key
    assert is_server_name(name)
    assert is_user_id(f"@alice:{name}")
    assert len(name.split(".")[0]) == 52


@given(st.binary(min_size=32, max_size=32), st.integers(1, 15))
def test_one_spelling_only(key: bytes, spare: int) -> None:
    name = server_name_from_key(key)
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    last = alphabet.index(name[-1])
    assert last % 16 == 0  # four spare bits, all zero
    assert key_from_server_name(name[:-1] + alphabet[last + spare]) is None
    if name != name.upper():
        assert key_from_server_name(name.upper()) is None


@given(st.text(max_size=60) | st.text("abcdefghijklmnopqrstuvwxyz234567.=", min_size=50))
def test_other_names_are_no_keys(name: str) -> None:
    key = key_from_server_name(name)
    assert key is None or server_name_from_key(key, name[53:] or None) == name


@pytest.mark.parametrize(
    "domain", ["", ".", "a..b", "Mesh.org", "a:80", "a b", "-a", "a.", "x" * 64, "a." * 100 + "b"]
)
def test_unusable_domains(domain: str) -> None:
    with pytest.raises(ConfigError, match="DNS name"):
        server_name_from_key(bytes(32), domain)
    assert key_from_server_name(f"{server_name_from_key(bytes(32))}.{domain}") is None


@pytest.mark.parametrize("name", ["1" * 52, "é" * 52, "=" * 52, "a" * 51, "a" * 53, "localhost"])
def test_names_out_of_the_alphabet(name: str) -> None:
    assert key_from_server_name(name) is None


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        server_name_from_key(bytes(31))
