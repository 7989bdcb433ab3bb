"""State resolution of two branches: how its cost grows with the number of conflicted events, and
against the literal resolver (literal_resolution.py) in the same run.
"""

from __future__ import annotations

from collections.abc import Sequence

from dtnode.matrix.state_resolution import resolve
from tests.benchmarks import literal_resolution
from tests.benchmarks.made_conflicts import Conflict, two_branches
from tests.benchmarks.report import Table, median, milliseconds, ratio, spent

SIZES = (250, 500, 1_000, 2_000, 4_000)
_LITERAL_UPTO = 4_000  # it grows with the square


def resolution_table(
    members: int, sizes: Sequence[int] = SIZES, repeats: int = 5, literal_upto: int = _LITERAL_UPTO
) -> Table:
    rows = []
    for version in ("10", "12"):
        before = 0.0
        for written in sizes:
            conflict = two_branches(version, members, written)
            ours = median(_ours(conflict) for _ in range(repeats))
            theirs = _literal(conflict) if written <= literal_upto else None
            rows.append(
                [
                    "v2" if version == "10" else "v2.1",
                    f"{written:,}",
                    f"{conflict.conflicted:,}",
                    milliseconds(ours),
                    ratio(ours / before) if before else "",
                    "" if theirs is None else milliseconds(theirs),
                    "" if theirs is None else ratio(theirs / ours),
                ]
            )
            before = ours
    return Table(
        title=f"State resolution, two branches, {members:,} members",
        columns=(
            "algorithm",
            "events written apart",
            "conflicted",
            "dtnode",
            "growth",
            "literal",
            "literal / dtnode",
        ),
        rows=rows,
        note="Processor time, medians. growth: against the row above, of half the size. literal:"
        " the specification's words as code, nothing remembered; both gave the same state.",
    )


def _ours(conflict: Conflict) -> float:
    """Cold as far as the events go: their parsed power levels are forgotten before."""
    for pdu in conflict.events.values():
        pdu._power_levels = None
    return spent(lambda: resolve(conflict.version, conflict.states, conflict)).cpu_s


def _literal(conflict: Conflict) -> float:
    found: list[object] = []
    taken = spent(
        lambda: found.append(literal_resolution.resolve(conflict.states, conflict.events))
    ).cpu_s
    assert found == [resolve(conflict.version, conflict.states, conflict)]
    return taken
