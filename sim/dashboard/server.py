"""Serves the page on this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from checkout.errors import InputError
from checkout.profile import PerceptionProfile
from sim.scenario import Scenario

if TYPE_CHECKING:
    from sim.dashboard.page import Served

LOOPBACK = "127.0.0.1"


def prepared(
    scenario: Scenario,
    profile: PerceptionProfile,
    *,
    recordings: Path,
    days: int = 10,
    seed: int = 1,
    progress: Callable[[str, float], None] | None = None,
) -> Served:
    """Simulate the bills behind the sliders.

    Args:
        recordings: the folder whose recordings can be stepped through.
        days: simulated days behind the sliders.
    """
    from sim.dashboard.bills import Desk, bills_before_review
    from sim.dashboard.page import Served
    from sim.dashboard.worker import Worker

    bills = bills_before_review(scenario, profile, days=days, seed=seed, progress=progress)
    return Served(scenario, profile, Desk(bills, scenario), recordings, days, seed, Worker())


def serve(
    served: Served,
    *,
    host: str = LOOPBACK,
    port: int = 8080,
    show: bool = False,
    ready: Callable[[str], None],
) -> None:
    """Serve the page until interrupted.

    Args:
        show: open a browser.
        ready: told the address when the page is served.
    """
    from nicegui import app, ui
    from starlette.responses import JSONResponse

    from sim.dashboard.page import build

    @app.get("/day/{flow}")
    def day(flow: str) -> JSONResponse:
        drawn = served.drawn_days.get(flow)
        return JSONResponse(drawn or {"error": "not simulated yet"}, 200 if drawn else 404)

    app.on_shutdown(served.worker.close)
    shown = f"[{host}]" if ":" in host else host
    app.on_startup(lambda: ready(f"http://{shown}:{port}"))
    ui.run(
        lambda: build(served), host=host, port=port, title=f"Checkout simulator: {served.scenario.name}", dark=None,
        language="en-US", reload=False, show=show, tailwind=False, show_welcome_message=False,
    )  # fmt: skip


def check_address(host: str, port: int) -> None:
    """Raise `InputError` when nothing can be served there."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InputError(
            "--host, --port",
            "",
            f"{host}:{port} cannot be used ({error.strerror or error})",
            "name another --port",
        ) from None
