"""`python -m dtnode.testing.demo [--json] [--keep]`: exit code 0 if everything held, else 1."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from dtnode.testing.demo.processes import NodeFailed, NodeProcess, end_all
from dtnode.testing.demo.show import make_console, show, tell
from dtnode.testing.demo.story import Check, CheckFailed, Report, Step, Story


class Failure:
    """What went wrong, and at which node."""

    def __init__(self, error: Exception, node: NodeProcess | None) -> None:
        self.text = f"{error}"
        self.node = None if node is None else node.name
        self.log = [] if node is None else node.log_tail()


def main() -> int:
    arguments = _arguments()
    _end_like_ctrl_c(signal.SIGTERM, signal.SIGHUP)
    console = make_console()

    def say(news: Step | Check) -> None:
        if not arguments.json:
            tell(console, news)

    root = Path(tempfile.mkdtemp(prefix="dtnode-demo."))
    try:
        report, failure = _play(root, say)
    except KeyboardInterrupt:
        print("Stopped; all six nodes are ended.", file=sys.stderr)  # noqa: T201
        return 130
    finally:
        if not arguments.keep:
            shutil.rmtree(root, ignore_errors=True)
    if arguments.json:
        print(json.dumps(as_data(report, failure), ensure_ascii=False, indent=2))  # noqa: T201
    else:
        show(console, report)
        if failure is not None:
            console.print(f"\n{failure.text}", style="bold red", markup=False)
            if failure.node is not None:
                console.print(f"The end of {failure.node}'s log:", style="bold")
            console.print("\n".join(failure.log), markup=False)
    if arguments.keep:
        print(f"The nodes' folders and logs are in {root}", file=sys.stderr)  # noqa: T201
    return 0 if failure is None else 1


def as_data(report: Report, failure: Failure | None) -> dict[str, object]:
    """What is shown, as one JSON object. failed: null, or what, at which node, its log's end."""
    return {
        "ok": failure is None,
        "failed": None if failure is None else vars(failure),
        **asdict(report),
    }


def _play(root: Path, say: Callable[[Step | Check], None]) -> tuple[Report, Failure | None]:
    """The whole story; whatever happens, no process of it is left behind."""
    story = Story(root, say)
    failure: Failure | None = None
    try:
        story.run()
    except (NodeFailed, CheckFailed) as error:
        failure = Failure(error, error.node)
    except Exception as error:  # noqa: BLE001 - an answer that isn't as expected, for instance
        failure = Failure(RuntimeError(f"the demo itself failed: {error!r}"), _ended_one(story))
    finally:
        end_all(story.nodes.values())
    return story.report, failure


def _ended_one(story: Story) -> NodeProcess | None:
    """A node that ended by itself is the likeliest cause of anything unexpected."""
    return next((node for node in story.nodes.values() if node.started and not node.running), None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dtnode.testing.demo", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")
    parser.add_argument(
        "--keep", action="store_true", help="leave the nodes' data folders and logs behind"
    )
    return parser.parse_args()


def _end_like_ctrl_c(*signals: signal.Signals) -> None:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, interrupt)


sys.exit(main())
