"""dtnode.config: what is written comes back; what can't be meant is refused by name."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtnode.config import (
    LinkConfig,
    NodeConfig,
    check_domain,
    check_user,
    new_link_id,
    parse_config,
    render_config,
)
from dtnode.errors import ConfigError
from dtnode.link_info import CipherPolicy

MINIMAL = 'user = "alice"\n[api]\nport = 21345\n'

option_values = (
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8"))
)
links = st.lists(
    st.builds(
        LinkConfig,
        id=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,10}", fullmatch=True),
        kind=st.from_regex(r"[a-z]{1,8}", fullmatch=True),
        options=st.dictionaries(st.text(st.characters(codec="utf-8")), option_values, max_size=4),
        accept=st.sampled_from(["known", "anyone"]),
        peer=st.none() | st.text(st.characters(codec="utf-8"), min_size=1),
        cipher=st.sampled_from(CipherPolicy),
    ).filter(lambda link: link.peer is None or link.cipher is not CipherPolicy.OPEN),
    max_size=4,
    unique_by=lambda link: link.id,
).map(tuple)
configs = st.builds(
    NodeConfig,
    user=st.from_regex(r"[a-z0-9._=/+-]{1,40}", fullmatch=True),
    domain=st.none() | st.just("mesh.example.org"),
    api_host=st.sampled_from(["127.0.0.1", "::1"]),
    api_port=st.integers(1, 65535),
    links=links,
)


@given(configs)
def test_what_is_rendered_is_parsed_back(config: NodeConfig) -> None:
    assert parse_config(render_config(config)) == config


@given(st.text())
def test_any_text_is_a_config_or_a_config_error(text: str) -> None:
    for candidate in (text, MINIMAL + text):
        with contextlib.suppress(ConfigError):
            assert render_config(parse_config(candidate))


def test_the_smallest_config_has_the_defaults() -> None:
    config = parse_config(MINIMAL)
    assert config == NodeConfig(user="alice", domain=None, api_host="127.0.0.1", api_port=21345)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("user = \n", "line 1"),
        ("[api]\nport = 1\n", "user"),
        ('user = "alice"\n', "api.port"),
        ('user = "alice"\n[api]\nport = 0\n', "api.port"),
        ('user = "alice"\n[api]\nport = true\n', "api.port"),
        ('user = "Alice"\n[api]\nport = 1\n', "Alice"),
        ("usr = 1\n" + MINIMAL, "usr"),
        (MINIMAL + 'hots = "x"\n', "api.hots"),
        (MINIMAL + "links = 3\n", "api.links"),
        (MINIMAL + '[[links]]\nkind = "tcp"\n', "links[1].id"),
        (MINIMAL + '[[links]]\nid = "a"\n', "links[1].kind"),
        (MINIMAL + '[[links]]\nid = "a"\nkind = "tcp"\nacept = "known"\n', "links[1].acept"),
        (MINIMAL + '[[links]]\nid = "a"\nkind = "tcp"\naccept = "all"\n', "links[1].accept"),
        (MINIMAL + '[[links]]\nid = "a"\nkind = "tcp"\ncipher = "none"\n', "links[1].cipher"),
        (MINIMAL + '[[links]]\nid = "a"\nkind = "tcp"\ncipher = ["clear"]\n', "links[1].cipher"),
        (
            MINIMAL + '[[links]]\nid = "a"\nkind = "tcp"\ncipher = "open"\npeer = "x"\n',
            "remove links[1].peer",
        ),
        (MINIMAL + '[[links]]\nid = "a"\nkind = "tcp"\noptions = {x = 1.5}\n', "links[1].options"),
        (MINIMAL + '[[links]]\nid = "A b"\nkind = "tcp"\n', "links[1].id"),
        (MINIMAL + '[[links]]\nid = "a"\nkind = "tcp"\n' * 2, "'a'"),
        ('api = 3\nuser = "alice"\n', "[api]"),
        ('links = "x"\n' + MINIMAL, "[[links]]"),
        ("links = [1]\n" + MINIMAL, "[[links]]"),
        ('domain = "192.0.2.1"\n' + MINIMAL, "192.0.2.1"),
    ],
)
def test_a_mistake_is_named(text: str, names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert names in str(caught.value)


def test_a_link_is_sealed_unless_it_says_otherwise() -> None:
    text = MINIMAL + '[[links]]\nid = "a"\nkind = "tcp"\n'
    assert parse_config(text).links[0].cipher is CipherPolicy.SEALED
    assert "cipher" not in render_config(parse_config(text))
    clear = parse_config(text + 'cipher = "clear"\n')
    assert clear.links[0].cipher is CipherPolicy.CLEAR
    assert 'cipher = "clear"' in render_config(clear)


@pytest.mark.parametrize("user", ["alice", "a", "0.9_=-/+", "x" * 128])
def test_user_names_of_the_specification(user: str) -> None:
    assert check_user(user) == user


@pytest.mark.parametrize("user", ["", "Alice", "@alice", "al ice", "älice", "alice\n", "x" * 129])
def test_other_user_names_are_refused(user: str) -> None:
    with pytest.raises(ConfigError):
        check_user(user)


def test_user_and_domain_fit_into_255_bytes_together() -> None:
    domain = ".".join(["d" * 43] * 4)
    longest = 255 - len(f"@:{'k' * 52}.{domain}")
    assert check_user("x" * longest, domain)
    with pytest.raises(ConfigError, match=f"at most {longest}"):
        check_user("x" * (longest + 1), domain)


@pytest.mark.parametrize("domain", ["org", "mesh.example.org", "a-b.c1"])
def test_domains(domain: str) -> None:
    assert check_domain(domain) == domain


@pytest.mark.parametrize(
    "domain",
    [
        *("", ".", "Example.org", "a..b", "-a.org", "a-.org", "a.org:80", "a.org\n", "1.2.3.4"),
        *("x" * 64 + ".org", ".".join(["a" * 60] * 3), "exämple.org", "a_b.org"),
    ],
)
def test_what_is_no_domain(domain: str) -> None:
    with pytest.raises(ConfigError):
        check_domain(domain)


def test_link_ids_fill_the_first_hole() -> None:
    config = NodeConfig(
        user="alice",
        api_port=1,
        links=(LinkConfig(id="tcp-1", kind="tcp"), LinkConfig(id="tcp-3", kind="tcp")),
    )
    assert new_link_id(config, "tcp") == "tcp-2"
    assert new_link_id(config, "serial") == "serial-1"
