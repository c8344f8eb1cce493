"""Run notebooks with papermill: `python -m tlids_helpers.notebooks 01 02 -p dataset nf-bot-iot`.

Leaves each executed notebook and an HTML page of it in one folder. A failing notebook is left as far as it
came, with the reason in its last cell.
"""

import argparse
import ast
import difflib
import os
import sys
import tempfile
from pathlib import Path

import click
import nbformat
import papermill
import yaml
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from papermill import cli
from papermill.exceptions import PapermillExecutionError
from tlids_edge import outputs

from tlids_helpers.common import files
from tlids_helpers.common.errors import InputError, quoted
from tlids_helpers.common.parameters import PARAMETERS, checked

# a kernel warns on every start that it listens on a local port, and now and then that its end interrupts it: nothing
# that a reader can act on; what goes wrong in a cell is in the notebook
QUIET_KERNEL = ["--IPKernelApp.log_level=CRITICAL"]
KERNEL_START = 600  # seconds; a busy machine needs more than papermill's 60
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "PJRT_NPROC"), "1")
NOTEBOOKS = files.REPOSITORY / "notebooks"


def find_notebook(number: str) -> Path:
    """The notebook whose name starts with `number`, such as "03". Raises InputError unless there is exactly one."""
    found = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if path.name.startswith(number)]
    if len(found) != 1:
        names = ", ".join(path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb")))
        raise InputError(f"expected the number of a notebook ({names}), found {quoted(number)}: correct it")
    return found[0]


def execute(notebook: Path, output: Path, parameters: dict, progress_bar: bool | None = None) -> None:
    """Run `notebook` with those of `parameters` it has; leaves `output` and an HTML page beside it.

    What differs from the notebook's defaults stands on the page below its title. `progress_bar` counts cells; None
    shows it in a terminal. Raises InputError with the notebook's own sentence when a cell fails.
    """
    known = papermill.inspect_notebook(str(notebook))
    mine = {name: value for name, value in parameters.items() if name in known}
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fault = f"expected a folder at {files.shown(output.parent)}, found: {error.strerror or error}"
        raise InputError(fault, "give another with --into") from None
    try:
        papermill.execute_notebook(
            str(notebook),
            str(output),
            mine,
            cwd=str(NOTEBOOKS),
            kernel_name="python3",
            progress_bar=sys.stderr.isatty() if progress_bar is None else progress_bar,
            start_timeout=KERNEL_START,
            extra_arguments=QUIET_KERNEL,
        )
    except PapermillExecutionError as error:
        raise InputError(f"{notebook.stem} stopped in cell {error.exec_count}: {error.ename}: {error.evalue}") from None
    defaults = {name: ast.literal_eval(known[name]["default"]) for name in mine}
    changed = [f"`{name} = {mine[name]!r}` (default {old!r})" for name, old in defaults.items() if mine[name] != old]
    if changed:
        ran = nbformat.read(output, as_version=4)
        ran.cells.insert(1, nbformat.v4.new_markdown_cell(f"*Run with {', '.join(changed)}.*"))
        nbformat.write(ran, output)
    write_page(output)


def write_page(notebook: Path) -> Path:
    """An HTML page of an executed notebook, beside it; of a progress bar it shows the end, not every step."""
    page, exporter = notebook.with_suffix(".html"), HTMLExporter()
    exporter.register_preprocessor(CoalesceStreamsPreprocessor, enabled=True)
    with outputs.written(page, "give another folder with --into") as file:
        file.write(exporter.from_filename(str(notebook))[0].encode())
    return page


def store_outputs(notebooks: list[Path]) -> None:
    """Run `notebooks` with their defaults, away from the user's data and runs, and keep the outputs in them.

    One empty home for all of them, one thread each and no progress bars, as when nbval compares them.
    """
    with tempfile.TemporaryDirectory(prefix="tlids-") as home:
        os.environ.update(TLIDS_HOME=home, TQDM_DISABLE="1", **ONE_THREAD)
        for notebook in notebooks:
            print(f"{notebook.stem} ...", flush=True)
            output = str(Path(home) / notebook.name)
            papermill.execute_notebook(
                str(notebook), output, cwd=str(NOTEBOOKS), kernel_name="python3", extra_arguments=QUIET_KERNEL
            )
            ran = papermill.iorw.load_notebook_node(output)
            clean, _ = CoalesceStreamsPreprocessor(enabled=True).preprocess(ran, {})
            strip_run_metadata(clean)
            papermill.iorw.write_ipynb(clean, str(notebook))


def strip_run_metadata(notebook) -> None:
    """Drop what differs from run to run: times, durations, paths."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)


def papermill_command() -> None:
    """The command `papermill`: papermill's own, which in a terminal wants an output path, with one where there is none.

    The executed copy then is runs/NOTEBOOK-DATASET.ipynb. A parameter that none of our notebooks has is refused, where
    papermill would warn and run on with the default. Everything else is passed on as it is.
    """
    arguments = sys.argv[1:]
    try:
        _refuse_misspelled(arguments)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    in_terminal = not (cli.INPUT_PIPED or cli.OUTPUT_PIPED)
    if in_terminal and (output := _missing_output(arguments)):
        print(f"no output path is given, so the executed notebook goes to {files.shown(output)}", file=sys.stderr)
        output.parent.mkdir(parents=True, exist_ok=True)
        arguments = [*arguments, str(output)]
    cli.papermill(arguments)


def _understood(arguments: list[str]) -> tuple[dict, list[str]]:
    """papermill's `arguments` as it understands them, and the paths among them; nothing where it would complain."""
    try:
        given, _, _ = cli.papermill.make_parser(click.Context(cli.papermill)).parse_args(list(arguments))
    except click.UsageError:
        return {}, []  # papermill says what is wrong
    return given, [given[name] for name in ("notebook_path", "output_path") if isinstance(given[name], str)]


def _typed(given: dict) -> dict[str, str]:
    """The parameters among what papermill was given on its command line, as typed."""
    return dict(given.get("parameters", []) + given.get("parameters_raw", []))


def _missing_output(arguments: list[str]) -> Path | None:
    """The path that papermill's `arguments` lack; None where they name a path, no notebook file, or are none of its."""
    given, paths = _understood(arguments)
    if len(paths) != 1 or paths == ["-"]:
        return None
    help_option = cli.papermill.get_help_option(click.Context(cli.papermill))
    if {help_option.name, "version", "help_notebook"} & given.keys():
        return None
    dataset = _typed(given).get("dataset", "")
    words = [Path(paths[0]).stem, *filter(None, [Path(dataset).name.split(".")[0]])]
    return files.resolve("runs") / f"{'-'.join(words)}.ipynb"


def _refuse_misspelled(arguments: list[str]) -> None:
    """Raise InputError where papermill's `arguments` give one of our notebooks a parameter that none of them has.

    One that another notebook has is let through, as papermill does, so that one line of options serves them all.
    """
    given, paths = _understood(arguments)
    if not paths or Path(paths[0]).resolve().parent != NOTEBOOKS:
        return
    for name in _typed(given):
        if name not in PARAMETERS:
            near = difflib.get_close_matches(name, PARAMETERS, 1)
            remedy = f"did you mean {near[0]}?" if near else f"papermill --help-notebook {paths[0]} lists them"
            raise InputError(f"expected a parameter of the notebooks, found {quoted(name)}", remedy)


def _value(text: str) -> object:
    """What YAML makes of a parameter as typed; text that it cannot read, such as a name with a bracket, stays text."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # a date of the 13th month, thousands of digits or brackets
        return text


def _refuse_unknown(parameters: dict, notebooks: list[Path]) -> None:
    """A parameter that none of `notebooks` has is a slip of the keyboard."""
    known = {name for notebook in notebooks for name in papermill.inspect_notebook(str(notebook))}
    if unknown := [name for name in parameters if name not in known]:
        raise InputError(
            f"expected parameters of the notebooks ({', '.join(sorted(known))}), found {', '.join(unknown)}: correct it"
        )


def main(arguments: list[str] | None = None) -> int:
    """The command line; see --help."""
    parser = argparse.ArgumentParser(prog="python -m tlids_helpers.notebooks", description=__doc__)
    parser.add_argument("notebooks", nargs="+", metavar="NN", help="number of a notebook, such as 03")
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--into", default="runs", help="folder for the executed notebooks and their pages")
    parser.add_argument("--in-place", action="store_true", help="store the outputs of a default run in the notebooks")
    options = parser.parse_args(arguments)
    parameters = {name: _value(text) for name, text in options.parameter}
    try:
        chosen = [find_notebook(number) for number in options.notebooks]
        _refuse_unknown(parameters, chosen)
        parameters = checked(**parameters)
        if options.in_place:
            store_outputs(chosen)
            return 0
        for notebook in chosen:
            output = files.resolve(options.into) / notebook.name
            print(f"{notebook.stem} ...", flush=True)
            execute(notebook, output, parameters)
            print(f"{notebook.stem}: {files.shown(output)} and {files.shown(output.with_suffix('.html'))}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
