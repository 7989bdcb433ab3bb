"""`make bench`: prints the tables of README.md, measured now. `ARGS=--help` for what can be chosen.

Not a test: nothing here fails for being slow (tests/benchmarks/test_smoke.py checks that it runs).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence

from tests.benchmarks.ingest import age_table, ingest_table
from tests.benchmarks.large import large_tables
from tests.benchmarks.nodes import catch_up_table, send_table
from tests.benchmarks.process import process_table
from tests.benchmarks.report import Table, machine
from tests.benchmarks.resolution import (
    branches_table,
    history_table,
    resolution_table,
    stored_table,
)
from tests.benchmarks.small import small_table

Benchmark = Callable[[], Sequence[Table]]

FULL: Mapping[str, Benchmark] = {
    "ingest": lambda: [ingest_table(), age_table()],
    "resolution": lambda: [
        resolution_table(1_000),
        resolution_table(10),
        branches_table(),
        history_table(),
        stored_table(),
    ],
    "small": lambda: [small_table()],
    "nodes": lambda: [catch_up_table(), send_table()],
    "process": lambda: [process_table()],
    "large": lambda: large_tables(),
}

QUICK: Mapping[str, Benchmark] = {
    "ingest": lambda: [ingest_table(messages=50, repeats=1), age_table(messages=50, repeats=1)],
    "resolution": lambda: [
        resolution_table(12, sizes=(20, 40), repeats=1),
        branches_table((10, 20), (12,), (2, 3), repeats=1),
        history_table((0, 20), written=10, members=12),
        stored_table((10, 20), repeats=1),
    ],
    "small": lambda: [small_table(budget_s=0.001)],
    "nodes": lambda: [catch_up_table(messages=5, repeats=1), send_table(messages=3)],
    "process": lambda: [process_table(messages=5, repeats=1)],
    "large": lambda: large_tables(((60, 3), (80, 20)), repeats=1, starts=1),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which of: {', '.join(FULL)} (all)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - FULL.keys()
    if unknown:
        parser.error(f"no benchmark called {', '.join(sorted(unknown))}")
    print(f"{machine()}\n")
    for name, benchmark in (QUICK if options.quick else FULL).items():
        if not options.names or name in options.names:
            for table in benchmark():
                print(table.markdown(), flush=True)


if __name__ == "__main__":
    main()
