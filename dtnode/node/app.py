"""`dtnode run`: one node as a process, over a data folder. The composition of everything.

It takes the folder's lock, opens the store, brings links and client API up, says so in one line,
and ends on SIGTERM, Ctrl-C or a request, within seconds, with everything acknowledged on disk.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from functools import partial
from typing import cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from hypercorn.typing import ASGIFramework

from dtnode.client_api import create_app
from dtnode.config import NodeConfig
from dtnode.node.data_folder import DataFolder, Identity
from dtnode.node.host import NodeHost
from dtnode.node.links import LinkManager
from dtnode.node.node import Node
from dtnode.node.system import SystemClock, system_entropy
from dtnode.node.worker import in_thread
from dtnode.rooms.spread import over_threads
from dtnode.store import Store

API_GRACE_S = 2.0  # for requests under way when the node ends
STOP_S = 4.0  # in all; what hasn't ended by then is cut off (nothing acknowledged is lost)
_MAX_CHECKING = 4  # threads that verify signatures; the rest of a batch's work is one thread's

logger = logging.getLogger("dtnode")


def run_node(folder: DataFolder, *, log_level: str = "warning") -> None:
    """Until told to stop. DtnodeError says what is wrong: folder in use, store damaged ..."""
    logging.basicConfig(
        level=log_level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    with folder.lock():
        identity = folder.identity
        folder.claim_api_port()
        config = folder.read_config()
        store = Store(folder.store_path)
        try:
            trio.run(_run, folder, identity, config, store)
        finally:
            store.close()


async def _run(folder: DataFolder, identity: Identity, config: NodeConfig, store: Store) -> None:
    node = Node(
        store=store,
        signer=identity.signer,
        user_id=identity.user_id,
        clock=SystemClock(),
        entropy=system_entropy,
        run_blocking=in_thread(),
        spread=over_threads(min(_MAX_CHECKING, os.cpu_count() or 1)),
    )
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signals, stop)
        nursery.start_soon(node.run)
        async with trio.open_nursery() as edges:
            api_stopped = trio.Event()
            links = LinkManager(node, edges)
            url = f"http://{_host_in_url(config.api_host)}:{config.api_port}"
            host = NodeHost(
                node,
                links,
                api_url=url,
                read_links=lambda: folder.read_config().links,
                stop=stop,
            )
            await edges.start(
                partial(_serve_api, host, folder, identity, config, stop, api_stopped)
            )
            await links.apply(config.links)
            print(f"dtnode is running as {identity.user_id}; client API at {url}", flush=True)  # noqa: T201
            await stop.wait()
            node.wake_waiters()
            with trio.move_on_after(STOP_S):
                await _close_connections(node)
                await api_stopped.wait()
            edges.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def _serve_api(
    host: NodeHost,
    folder: DataFolder,
    identity: Identity,
    config: NodeConfig,
    stop: trio.Event,
    stopped: trio.Event,
    *,
    task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
) -> None:
    app = create_app(
        host,
        user_id=identity.user_id,
        server_name=identity.server_name,
        access_token=folder.read_api_token(),
        password=folder.read_client_password,
        entropy=system_entropy,
    )
    settings = Config()
    settings.bind = [f"{_host_in_url(config.api_host)}:{config.api_port}"]
    settings.graceful_timeout = API_GRACE_S
    settings.accesslog = None
    settings.errorlog = logging.getLogger("dtnode.client_api.server")
    settings.include_server_header = False
    try:
        await serve(
            cast(ASGIFramework, app),  # Starlette's types say the same in other words
            settings,
            shutdown_trigger=stop.wait,
            task_status=task_status,
        )
    finally:
        stopped.set()


async def _close_connections(node: Node) -> None:
    for connection in list(node.connections):
        connection.close("this node is being stopped")
    while node.connections:
        await trio.sleep(0.02)


async def _stop_on_signals(stop: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            stop.set()


def _host_in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
