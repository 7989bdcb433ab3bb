"""What is installed is what pyproject.toml says, and what is committed stands alone.

The same tests run from a checkout and, in .ci/run, against the installed wheel from a folder that
holds only the tests and the documents that they read.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import dtnode
import dtnode_transports

ROOT = Path(__file__).parents[1]
DTNODE = Path(dtnode.__path__[0])
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[0-9][A-Za-z0-9.+!]*)")

# Where packages come from is the business of whoever installs; so are folders of their machine.
ADDRESSES = re.compile(
    rb"pythonhosted\.org|pypi\.org|registry\.npmjs|(?:index|extra)[-_]url|find[-_]links"
    rb"|trusted[-_]host|://[^\s\"'<>]*/simple\b|file:///[a-z]|/work[/]",
    re.IGNORECASE,
)


def direct_requirements(*extras: str) -> list[Requirement]:
    project = PROJECT["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def pins() -> dict[str, str]:
    """Canonical name -> version. Every line must be a pin."""
    found: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        match = PIN.fullmatch(line)
        assert match, f"constraints.txt holds only name==version lines, not {line!r}"
        name = canonicalize_name(match["name"])
        assert name not in found, f"{name} stands twice in constraints.txt"
        found[name] = match["version"]
    return found


def committed_files() -> Iterator[Path]:
    """What git tracks or would track; in a folder without git, every file outside dot folders."""
    if (ROOT / ".git").exists():
        listing = subprocess.run(
            # In CI the checkout may belong to another user.
            [
                "git",
                "-c",
                "safe.directory=*",
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ],
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout.decode()
        candidates = [ROOT / name for name in listing.split("\0") if name]
    else:
        candidates = [
            path
            for path in ROOT.rglob("*")
            if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
            and path.suffix != ".pyc"
        ]
    yield from (path for path in candidates if path.is_file())


def test_the_version_is_said_once() -> None:
    version = PROJECT["project"]["version"]
    assert importlib.metadata.version("dtnode") == version, "run `make setup` again"
    assert getattr(dtnode, "__version__", version) == version
    assert f"({version})" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_right_dtnode_is_imported() -> None:
    """From the environment's site-packages when .ci/run tests the wheel, else from the checkout."""
    if os.environ.get("DTNODE_TEST_WHEEL"):
        expected = Path(sys.prefix).resolve()
        assert "site-packages" in DTNODE.parts
        assert (DTNODE.parent / "dtnode_transports" / "py.typed").is_file()
        assert not (ROOT / "dtnode").exists()
    else:
        expected = ROOT
    for package in (dtnode, dtnode_transports):
        assert Path(package.__path__[0]).resolve().is_relative_to(expected)


def test_packages_are_typed() -> None:
    assert (DTNODE / "py.typed").is_file()
    assert (Path(dtnode_transports.__path__[0]) / "py.typed").is_file()


def declared_entry_points() -> list[tuple[str, str]]:
    project = PROJECT["project"]
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    return [(group, name) for group, entries in groups.items() for name in entries]


@pytest.mark.parametrize(("group", "name"), declared_entry_points())
def test_entry_points_load(group: str, name: str) -> None:
    points = importlib.metadata.entry_points(group=group)
    assert callable(points[name].load())


def test_tcp_is_a_transport() -> None:
    assert ("dtnode.transports", "tcp") in declared_entry_points()


def test_there_are_no_dependency_groups() -> None:
    """Extras only: pip on a fresh Debian 12 (23.0) doesn't know groups."""
    assert "dependency-groups" not in PROJECT
    assert set(PROJECT["project"]["optional-dependencies"]) >= {"dev", "radio", "sim"}


def test_constraints_pin_every_direct_dependency() -> None:
    pinned = pins()
    for requirement in direct_requirements(*PROJECT["project"]["optional-dependencies"]):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version, f"constraints.txt has no pin for {requirement.name}"
        assert requirement.specifier.contains(version), f"{requirement} excludes {version}"


def test_constraints_pin_what_the_dependencies_need() -> None:
    """Everything that dtnode needs here, however far down, so that two set-ups are the same."""
    pinned = pins()
    todo = direct_requirements("dev")
    seen: set[tuple[str, str]] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            assert name in pinned, f"constraints.txt has no pin for {name}"
            needs = map(Requirement, importlib.metadata.requires(name) or ())
            todo += [need for need in needs if applies(need, extra)]
    assert len(seen) > len(direct_requirements("dev"))


def applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def test_every_package_has_a_floor() -> None:
    contracts = {
        contract["id"]: contract for contract in PROJECT["tool"]["importlinter"]["contracts"]
    }
    placed = {
        name for layer in contracts["floors"]["layers"] for name in re.findall(r"[\w.]+", layer)
    }
    present = {
        f"dtnode.{path.stem}"
        for path in DTNODE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert present - {"dtnode.__init__"} <= placed, "name it in the layers of pyproject.toml"


def test_nothing_committed_names_a_registry_or_this_machine() -> None:
    found = [
        f"{path}: {match[0].decode()}"
        for path in committed_files()
        if (match := ADDRESSES.search(path.read_bytes()))
    ]
    assert not found


@pytest.mark.parametrize(
    "text",
    [
        "https://files.python" + "hosted.org/x",
        "--index" + "-url https://host/",
        "https://mirror.example/api/" + "simple/",
        "file:" + "///opt/wheels",
        "see /wor" + "k/shared",
    ],
)
def test_the_address_guard_catches(text: str) -> None:
    assert ADDRESSES.search(text.encode())
