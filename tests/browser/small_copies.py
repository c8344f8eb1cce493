"""Copies of the notebooks that run in seconds: without outputs, and with small values where parameters are set."""

import re
from pathlib import Path

import nbformat

SMALL = {
    "rows": 1500, "epochs": 2, "quick_epochs": 1, "cross_epochs": 1, "seeds": 2,
}  # fmt: skip


def write(notebooks: list[Path], folder: Path) -> None:
    """Put small copies of `notebooks` into `folder`, under their names."""
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        notebook.cells = [small for cell in notebook.cells for small in _small(cell)]
        nbformat.write(notebook, folder / path.name)


def _small(cell) -> list:
    """The cell, emptied; after one that sets some of SMALL, a cell that sets them again, as papermill would."""
    if cell.cell_type != "code":
        return [cell]
    cell.outputs, cell.execution_count = [], None
    set_here = [name for name in SMALL if re.search(rf"^{name} = ", cell.source, re.MULTILINE)]
    if not set_here:
        return [cell]
    source = "\n".join(f"{name} = {SMALL[name]}" for name in set_here)
    return [cell, nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]})]
