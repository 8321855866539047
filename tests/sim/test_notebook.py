"""The notebook in docs/ runs from top to bottom, with settings that make it quick."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

PROJECT = Path(__file__).resolve().parents[2]
QUICK = "replications, workers = 4, 1\nchanges = {'calendar.days': 1, 'shoppers.visits_per_day': 60}"


@pytest.mark.slow
def test_the_comparison_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(PROJECT / "docs" / "compare.ipynb", as_version=4)
    places = [i for i, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", [])]
    assert len(places) == 1
    notebook.cells.insert(places[0] + 1, nbformat.v4.new_code_cell(QUICK))
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(PROJECT / "docs")}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    printed = "".join(o.get("text", "") for cell in code for o in cell.outputs)
    assert "from simulating 4 weeks" in printed
    assert "paired ±" in printed
    assert "<table" in code[-1].outputs[-1]["data"]["text/html"]


def test_the_committed_outputs_are_whole_and_small() -> None:
    file = PROJECT / "docs" / "compare.ipynb"
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]
    assert file.stat().st_size < 60_000
