"""Timing, medians and Markdown tables for the benchmarks. Nothing here is measured by itself."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of the report: its rows are text already."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        lines = [
            f"### {self.title}",
            "",
            "| " + " | ".join(self.columns) + " |",
            "|" + "|".join("---" for _ in self.columns) + "|",
            *("| " + " | ".join(row) + " |" for row in self.rows),
        ]
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines) + "\n"


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call. The garbage of what ran before isn't counted."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Of one piece of work: wall time, and processor time of the whole process."""

    wall_s: float
    cpu_s: float


def spent(work: Callable[[], object]) -> Spent:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu)


def seconds_each(work: Callable[[], object], *, budget_s: float = 0.3, repeats: int = 5) -> float:
    """Median processor time of one call of something short, over `repeats` rounds of many calls."""
    once = max(spent(work).cpu_s, 1e-7)
    calls = max(1, int(budget_s / repeats / once))

    def many() -> None:
        for _ in range(calls):
            work()

    return statistics.median(spent(many).cpu_s / calls for _ in range(repeats))


def interleaved(works: Sequence[Callable[[], T]], repeats: int) -> list[list[T]]:
    """Results of each work over `repeats` rounds that run all of them in turn, so that whatever
    else the machine does hits all alike."""
    found: list[list[T]] = [[] for _ in works]
    for _ in range(repeats):
        for results, work in zip(found, works, strict=True):
            results.append(work())
    return found


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def per_second(rate: float) -> str:
    return f"{rate:,.0f}/s"


def milliseconds(duration_s: float) -> str:
    duration_ms = duration_s * 1e3
    return f"{duration_ms:.2f} ms" if duration_ms < 10 else f"{duration_ms:,.0f} ms"


def microseconds(duration_s: float) -> str:
    return f"{duration_s * 1e6:.2f} us"


def ratio(value: float) -> str:
    return f"{value:.2f}"


def machine() -> str:
    """The machine in one line: cores, processor, Python; nothing that says whose it is."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    cores = cpuinfo.read_text("utf-8", "replace").count("processor\t") if cpuinfo.exists() else 1
    return f"{cores} cores, {model}, Python {platform.python_version()}, {platform.system()}"
