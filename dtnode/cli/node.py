"""`dtnode init`, `run`, `status`, `password`: the node itself."""

from __future__ import annotations

import logging
import os
import sys

import click

from dtnode.cli.api import OWN_API, NodeApi
from dtnode.cli.common import json_option, pass_folder
from dtnode.cli.output import echo_json, printable
from dtnode.cli.status_text import status_lines
from dtnode.config import check_domain, check_user
from dtnode.errors import ConfigError
from dtnode.node.data_folder import DataFolder, default_data_path

LOG_LEVELS = ("debug", "info", "warning", "error")


def register(group: click.Group) -> None:
    for command in (init, run, status, password):
        group.add_command(command)


@click.command()
@click.option(
    "--user",
    required=True,
    metavar="NAME",
    help="Your user name: lowercase letters, digits and . _ = - / +",
)
@click.option(
    "--domain",
    metavar="DOMAIN",
    help="A DNS name to put behind the key, such as mesh.example.org: with it the node can be"
    " reached from the ordinary Matrix federation later, through a gateway. It can't be added or"
    " changed afterwards.",
)
@json_option
@pass_folder
def init(folder: DataFolder, user: str, domain: str | None, as_json: bool) -> None:
    """Make a key and a data folder for a new node."""
    try:
        if domain is not None:
            check_domain(domain)
        check_user(user, domain)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error
    identity = folder.create(user, domain, os.urandom)
    if as_json:
        echo_json(
            {
                "user_id": identity.user_id,
                "server_name": identity.server_name,
                "data": str(folder.path),
                "domain": domain,
            }
        )
        return
    click.echo(f"You are {identity.user_id}")
    click.echo(f"Server name: {identity.server_name}")
    click.echo(f"Data folder: {printable(folder.path)}")
    click.echo(_about_the_name(domain))
    click.echo(
        "The key in this folder is you. Keep a sealed copy elsewhere: dtnode backup FILE\n"
        "Next: dtnode link add tcp --listen :PORT (or --dial HOST:PORT), then dtnode run"
    )
    if folder.path != default_data_path():
        click.echo("In each command, name this folder as here: dtnode --data DIR ...")


def _about_the_name(domain: str | None) -> str:
    if domain is None:
        return (
            "This name has no domain: other dtnode nodes reach it over any link, the ordinary"
            " Matrix federation never will. The name can't change later; if you may want that,"
            " make a node in another folder with --domain now."
        )
    return (
        f"This name ends in {domain}: with DNS for *.{domain} at a gateway, the ordinary Matrix"
        " federation can reach it later. Until then it works without any DNS. The name can't"
        " change later."
    )


@click.command()
@click.option(
    "--log-level",
    type=click.Choice(LOG_LEVELS),
    default="info",
    show_default=True,
    help="What to write to standard error while running.",
)
@pass_folder
def run(folder: DataFolder, log_level: str) -> None:
    """Run the node until Ctrl-C or SIGTERM; one line says when it is ready."""
    folder.open()
    _log_for_people(log_level)
    from dtnode.node.app import run_node

    run_node(folder, log_level=log_level)


def _log_for_people(level: str) -> None:
    """Which part of the program a line comes from, and that the API is there, which the line on
    standard output says, is for who looks for a bug: --log-level debug."""
    if level == "debug":
        return  # run_node's own format
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    logging.getLogger("dtnode.client_api.server").setLevel(logging.WARNING)


@click.command()
@json_option
@pass_folder
def status(folder: DataFolder, as_json: bool) -> None:
    """Who am I; peers, links, rooms and the clock of the running node."""
    with NodeApi(folder) as api:
        answer = api.get(f"{OWN_API}/status")
    if as_json:
        echo_json(answer)
    else:
        for line in status_lines(answer, str(folder.path)):
            click.echo(line)


@click.command()
@click.option("--new", is_flag=True, help="Make another one; the old one stops working.")
@json_option
@pass_folder
def password(folder: DataFolder, new: bool, as_json: bool) -> None:
    """Print what a Matrix client on this machine logs in with."""
    identity = folder.open().identity
    secret = folder.new_client_password(os.urandom) if new else folder.read_client_password()
    if as_json:
        config = folder.read_config()
        echo_json(
            {
                "user_id": identity.user_id,
                "password": secret,
                "api_url": f"http://{config.api_host}:{config.api_port}",
            }
        )
    else:
        click.echo(secret)
