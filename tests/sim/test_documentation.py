"""Every parameter of a scenario is on a page of docs/store, and says where its number comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from sim.results import METRICS
from sim.scenario import Scenario

PAGES = sorted((Path(__file__).parents[2] / "docs" / "store").glob("*.md"))
TAGS = ("published", "measured", "assumed")
NO_NUMBER = {"schema_version", "name", "description", "zone", "layout", "first_weekday", "distribution"}
"""Fields that are a choice or a name, so that nothing stands behind them."""


def fields(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{above}{name}.")
        else:
            yield f"{above}{name}", field


FIELDS = dict(fields(Scenario))


@pytest.mark.parametrize("name", [n for n in FIELDS if "." in n])
def test_every_parameter_is_documented_and_tagged(name: str) -> None:
    last = name.rpartition(".")[2]
    quoted = {word for page in PAGES for text in re.findall(r"`([^`]+)`", page.read_text(encoding="utf-8"))
              for word in re.findall(r"[a-z_0-9]+", text)}  # fmt: skip
    assert last in quoted
    if last not in NO_NUMBER:
        assert any(tag in (FIELDS[name].description or "") for tag in TAGS)


def test_a_page_with_parameters_tags_its_rows() -> None:
    """A row of a table of parameters ends with where its numbers come from."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        tables = re.findall(r"^\| parameter.*\n\|[-| ]+\n((?:\|.*\n)+)", text, re.MULTILINE)
        for row in "".join(tables).splitlines():
            assert any(tag in row for tag in (*TAGS, "Complete Journey", "the layout")), f"{page.name}: {row}"


def test_every_mean_time_has_its_quantiles() -> None:
    for name in ("mean", "p50", "p95", "p99"):
        assert f"time_to_receipt_{name}_s" in METRICS
