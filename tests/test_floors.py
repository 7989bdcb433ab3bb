"""The floors of DESIGN section 4 as far as import-linter can't see them: what the code calls.

Nothing below dtnode.node reads a clock, a socket or randomness by itself; floors 0 to 2 open no
files either. The shape of the files (STYLE) is checked here as well.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

import pytest

import dtnode
import dtnode_transports

DTNODE = Path(dtnode.__path__[0])
TRANSPORTS = Path(dtnode_transports.__path__[0])
TESTS = Path(__file__).parent

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 100

# dtnode.testing stands beside dtnode.node and composes things like it does.
COMPOSITION = ("dtnode.node", "dtnode.testing", "dtnode.cli", "dtnode.tui")
PURE = (
    "dtnode.matrix",
    "dtnode.wire",
    "dtnode.session",
    "dtnode.sync",
    "dtnode.store",
    "dtnode.config",
    "dtnode.signer",
    "dtnode.clock",
    "dtnode.link_info",
    "dtnode.errors",
)

# A name here stands for itself and for everything below it: "time" is time.time as well.
CLOCKS_AND_RANDOMNESS = (
    "time",
    "random",
    "secrets",
    "uuid",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "datetime.date.today",
    "os.urandom",
    "os.getrandom",
    "os.times",
    "nacl.utils.random",
    "nacl.bindings.randombytes",
    "nacl.signing.SigningKey.generate",
    "nacl.public.PrivateKey.generate",
)
SOCKETS = ("socket", "trio.socket")
FILES = ("open", "io.open", "os.open", "tempfile", "shutil", "logging")
PATH_METHODS = frozenset({"read_text", "read_bytes", "write_text", "write_bytes"})


def is_below(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def forbidden_names(module: str) -> tuple[str, ...]:
    """What `module` may not reach for, by its floor."""
    if is_below(module, COMPOSITION):
        return ()
    if is_below(module, PURE):
        return CLOCKS_AND_RANDOMNESS + SOCKETS + FILES
    if is_below(module, ("dtnode_transports",)):
        return CLOCKS_AND_RANDOMNESS  # sockets are what a transport is for
    return CLOCKS_AND_RANDOMNESS + SOCKETS


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Local name -> full dotted name, for every absolute import anywhere in the module."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    """The full name that an expression such as `dt.datetime.now` stands for, if it is a name."""
    if isinstance(node, ast.Name):
        if node.id in names:
            return names[node.id]
        return node.id if hasattr(builtins, node.id) else None
    if isinstance(node, ast.Attribute):
        value = dotted(node.value, names)
        return None if value is None else f"{value}.{node.attr}"
    return None


def violations(source: str, module: str) -> list[str]:
    """`line: name` for each forbidden thing that the module imports, calls or passes on."""
    forbidden = forbidden_names(module)
    tree = ast.parse(source)
    names = imported_names(tree)
    found: set[tuple[int, str]] = set()
    for node in ast.walk(tree):
        for name in referenced_names(node, names, pure=is_below(module, PURE)):
            if is_below(name, forbidden):
                found.add((getattr(node, "lineno", 0), name))
    return [f"{line}: {name}" for line, name in sorted(found)]


def referenced_names(node: ast.AST, names: dict[str, str], *, pure: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Name | ast.Attribute):
        name = dotted(node, names)
        if name is not None:
            yield name
        elif pure and isinstance(node, ast.Attribute) and node.attr in PATH_METHODS:
            yield "open"
    elif isinstance(node, ast.Call):
        # importlib.import_module("time") and __import__("time")
        name = dotted(node.func, names)
        if name in ("importlib.import_module", "__import__") and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value


def modules_of(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        yield ".".join(part for part in parts if part != "__init__"), path


PACKAGE_MODULES = [*modules_of(DTNODE), *modules_of(TRANSPORTS)]
TEST_MODULES = list(modules_of(TESTS))


def test_the_packages_were_found() -> None:
    names = {name for name, _ in PACKAGE_MODULES}
    assert {"dtnode", "dtnode.errors", "dtnode.wire.messages", "dtnode_transports"} <= names


def test_nothing_below_the_node_reads_clock_socket_or_randomness() -> None:
    found = [
        f"{path}:{violation}"
        for module, path in PACKAGE_MODULES
        for violation in violations(path.read_text("utf-8"), module)
    ]
    assert not found, "take it through the constructor instead:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("dtnode.rooms.receive", "import time"),
        ("dtnode.rooms.receive", "from time import monotonic as now\nnow()"),
        ("dtnode.sync.peer", "def f():\n    import random\n    return random.random()"),
        ("dtnode.client_api.app", "from datetime import datetime as dt\nstamp = dt.now"),
        ("dtnode.client_api.app", "import datetime\ndatetime.datetime.now(datetime.UTC)"),
        ("dtnode.client_api.app", "from os import urandom"),
        ("dtnode.client_api.app", "import os as o\ndefault = o.urandom"),
        ("dtnode.client_api.app", "import secrets\nsecrets.token_hex()"),
        ("dtnode.client_api.app", "import socket"),
        ("dtnode.link", "import importlib\nimportlib.import_module('random')"),
        ("dtnode.link", "__import__('time').sleep(1)"),
        ("dtnode_transports.tcp", "import uuid\nuuid.uuid4()"),
        ("dtnode.signer", "from nacl.signing import SigningKey\nSigningKey.generate()"),
        ("dtnode.session.link_session", "import nacl.utils\nnacl.utils.random(32)"),
        ("dtnode.session.link_session", "from nacl.utils import random\nrandom(32)"),
        ("dtnode.matrix.pdu", "with open('x') as file:\n    pass"),
        ("dtnode.matrix.pdu", "from pathlib import Path\nPath('x').read_text()"),
        ("dtnode.matrix.pdu", "def f(folder):\n    return (folder / 'x').read_bytes()"),
        ("dtnode.store.database", "import logging"),
        ("dtnode.config", "from trio import socket"),
    ],
)
def test_the_guard_catches(module: str, source: str) -> None:
    assert violations(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("dtnode.node.app", "import time, os, random\nos.urandom(8)"),
        ("dtnode.testing.demo", "import time"),
        ("dtnode.store.database", "import sqlite3\nsqlite3.connect(':memory:')"),
        ("dtnode.rooms.audit", "import gzip\ngzip.open('x')\nopen('y')"),
        ("dtnode_transports.tcp", "import socket\nimport trio\ntrio.current_time()"),
        ("dtnode.session.link_session", "def f(time, random):\n    return time + random(8)"),
        ("dtnode.sync.peer", "def f(self):\n    self.open(self.time.random)"),
        ("dtnode.matrix.pdu", "from datetime import datetime\ndatetime.fromtimestamp(0)"),
        ("dtnode.matrix.timeline", "from dtnode.matrix import times\ntimes.now()"),
    ],
)
def test_the_guard_lets_pass(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_every_module_says_what_it_is() -> None:
    # An empty __init__.py has nothing to say.
    silent = [
        str(path)
        for _, path in PACKAGE_MODULES + TEST_MODULES
        if (source := path.read_text("utf-8")).strip() and not ast.get_docstring(ast.parse(source))
    ]
    assert not silent, "a module opens with what it is, what it is not and who calls it"


def test_no_file_is_too_long() -> None:
    lengths = {
        str(path): len(path.read_text("utf-8").splitlines())
        for _, path in PACKAGE_MODULES + TEST_MODULES
    }
    too_long = {path: lines for path, lines in lengths.items() if lines > MAX_FILE_LINES}
    assert not too_long, f"split these (the limit is {MAX_FILE_LINES} lines)"


def test_no_function_is_too_long() -> None:
    too_long = [
        f"{path}:{node.lineno} {node.name}"
        for _, path in PACKAGE_MODULES + TEST_MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert not too_long, f"split these (the limit is {MAX_FUNCTION_LINES} lines)"
