"""The `dtnode` command. Composition: it talks to a running node over HTTP and to files directly.

Started hundreds of times by scripts, so what a command doesn't need it doesn't import: a status
call must not load Trio, the store or the crypto. Nothing below imports this package.
"""

from __future__ import annotations


def main() -> None:
    """The console script's entry point; ends the process with 0, 1 (failed) or 2 (usage)."""
    import sys

    from dtnode.cli.output import UNWRAPPED_COLUMNS, use_utf8
    from dtnode.cli.root import dtnode

    use_utf8()
    width = None if sys.stdout.isatty() else UNWRAPPED_COLUMNS
    dtnode(prog_name="dtnode", terminal_width=width)
