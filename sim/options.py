"""Options and arguments that several commands of the simulator share; only Typer and the standard library."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SHIPPED = ", ".join(sorted(file.stem for file in (Path(__file__).parent / "scenarios").glob("*.yaml")))

ScenarioArgument = Annotated[str, typer.Argument(help=f"A shipped scenario ({SHIPPED}) or a YAML file.")]
ProfileOption = Annotated[
    Path | None, typer.Option("--profile", help="Perception profile; else the one of the shipped recordings.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field; repeatable.")
]
JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - prints it.")
]
PageOption = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write a page that holds everything, HTML.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what exists.")]
WorkersOption = Annotated[
    int, typer.Option(min=1, max=1024, help="Processes; the numbers do not depend on it.")
]
