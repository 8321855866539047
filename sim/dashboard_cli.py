"""`checkout dashboard` and `checkout require`; only the standard library and Typer are imported at the top."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

ScenarioArgument = Annotated[
    str, typer.Argument(help="A shipped scenario (supermarket, convenience) or a YAML file.")
]
ProfileOption = Annotated[
    Path | None, typer.Option("--profile", help="Perception profile; else the one of the shipped recordings.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field; repeatable.")
]


@app.command("dashboard")
def dashboard_command(
    scenario: ScenarioArgument = "supermarket",
    profile: ProfileOption = None,
    changes: SetOption = None,
    recordings: Annotated[
        Path | None, typer.Option(help="Folder of recordings to step through; else the shipped ones.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=1000, help="Simulated days behind the sliders.")] = 10,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    host: Annotated[
        str, typer.Option(help="Address to serve at; only loopback keeps others out.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    show: Annotated[bool, typer.Option("--show", help="Open a browser.")] = False,
) -> None:
    """Serve a page on this machine to look at it all: thresholds, flows, a day in the store, recordings."""
    from checkout.cli import progress_bar
    from checkout.errors import InputError

    _need_extra("nicegui", "dashboard")
    from sim.cli import _profile, _scenario
    from sim.demo import SHIPPED_RECORDINGS

    if recordings is not None and not recordings.is_dir():
        raise InputError(
            "--recordings", "", f"{str(recordings)!r} is not a folder", "name a folder of recordings"
        )
    store, perceiving = _scenario(scenario, changes), _profile(profile, ["just-walk-out"])
    from sim.dashboard.server import check_address, prepared, serve

    check_address(host, port)
    with progress_bar() as tell:
        served = prepared(
            store,
            perceiving,
            recordings=recordings or SHIPPED_RECORDINGS,
            days=days,
            seed=seed,
            progress=tell,
        )
    serve(served, host=host, port=port, show=show, ready=lambda url: typer.echo(f"{url} (stop with Ctrl-C)"))


def _need_extra(module: str, extra: str) -> None:
    from checkout.errors import InputError

    if find_spec(module) is None:
        raise InputError(module, "", "is not installed", f'run: pip install "checkout-simulator[{extra}]"')
