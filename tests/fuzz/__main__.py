"""`make fuzz`: every target in a process of its own, with bounded memory; exit status 1 if one
fails. `ARGS="messages --inputs 1000000"` for one of them; `--help` for the rest.

With atheris (libFuzzer), coverage of dtnode leads the way; without it tests/fuzz/mutate.py. What
fails is kept in the folder that is told, and a failure is repeated by `--repeat FILE`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

_NAMES = (
    "stream", "datagram", "handshake", "broadcast", "session", "messages", "batches", "text", "tcp"
)  # fmt: skip
"""Of tests.fuzz.targets, which is only imported where its code can be instrumented first."""


def main() -> int:
    options = _options()
    if options.repeat is not None:
        _check(options.names[0])(options.repeat.read_bytes())
        return 0
    if options.child:
        (_run_atheris if options.engine == "atheris" else _run_own)(options)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="dtnode-fuzz-"))
    failed = [name for name in options.names if not _one(name, options, folder)]
    print(f"failed: {', '.join(failed)}; inputs in {folder}" if failed else "nothing found")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which of: {', '.join(_NAMES)} (all)")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for each target")
    parser.add_argument("--seconds", type=int, default=0, help="for each target at most (0: any)")
    parser.add_argument("--rss-mb", type=int, default=512, help="memory a target may take")
    parser.add_argument("--engine", choices=("atheris", "own"), default=_default_engine())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeat", type=Path, help="one input, for the one target named")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.names) - set(_NAMES):
        parser.error(f"no target called {', '.join(sorted(unknown))}")
    if options.repeat is not None and len(options.names) != 1:
        parser.error("--repeat needs the name of one target")
    options.names = options.names or list(_NAMES)
    return options


def _default_engine() -> str:
    return "own" if importlib.util.find_spec("atheris") is None else "atheris"


def _one(name: str, options: argparse.Namespace, parent: Path) -> bool:
    folder = parent / name
    folder.mkdir()
    start = time.monotonic()
    child = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz", name, "--child", str(folder)),
            *(f"--inputs={options.inputs}", f"--seconds={options.seconds}"),
            *(f"--seed={options.seed}", f"--rss-mb={options.rss_mb}"),
            f"--engine={options.engine}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    lines = child.stdout.splitlines()
    took = time.monotonic() - start
    counted = [line for line in lines if line.startswith(("stat::", "Done "))]
    print(f"{name}: {'ok' if child.returncode == 0 else 'FAILED'}, {options.engine}, {took:.0f} s")
    for line in counted if child.returncode == 0 else lines[-60:]:
        print(f"    {line}")
    sys.stdout.flush()
    return child.returncode == 0


def _check(name: str) -> Callable[[bytes], None]:
    from tests.fuzz.targets import TARGETS

    return TARGETS[name].make()


def _run_atheris(options: argparse.Namespace) -> None:
    """Ends the process."""
    atheris = importlib.import_module("atheris")  # without types, and not everywhere
    with atheris.instrument_imports(include=["dtnode", "dtnode_transports"]):
        from tests.fuzz.targets import TARGETS

    target = TARGETS[options.names[0]]
    corpus = options.child / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    arguments = [
        sys.argv[0],
        f"-runs={options.inputs}",
        f"-max_total_time={options.seconds}",
        f"-rss_limit_mb={options.rss_mb}",
        f"-seed={options.seed}",
        f"-artifact_prefix={options.child}/",
        "-max_len=4096",
        "-timeout=10",
        "-print_final_stats=1",
        str(corpus),
    ]
    atheris.Setup(arguments, target.make())
    atheris.Fuzz()


def _run_own(options: argparse.Namespace) -> None:
    from tests.fuzz.mutate import mutants
    from tests.fuzz.targets import TARGETS

    target = TARGETS[options.names[0]]
    check, seeds = target.make(), target.seeds()
    end = time.monotonic() + options.seconds if options.seconds else float("inf")
    done = 0
    for data in mutants(seeds, Random(options.seed)):
        if done == options.inputs or (done % 256 == 0 and time.monotonic() > end):
            break
        try:
            check(data)
        except BaseException:
            (options.child / "failed").write_bytes(data)
            raise
        done += 1
        used_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        if used_mb > options.rss_mb:
            (options.child / "failed").write_bytes(data)
            raise MemoryError(f"{used_mb} MB are in use after {done} inputs")
    used_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"Done {done} inputs, {used_mb} MB at most")


if __name__ == "__main__":
    sys.exit(main())
