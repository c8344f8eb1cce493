"""The parts of the page that quote executed notebooks: the audit (07) and the testbed (06)."""

from collections.abc import Sequence

from tlids_helpers.results.report_page import executed
from tlids_helpers.results.report_page.blocks import Block, Cell, Html, Nothing, Part, Text, Title
from tlids_helpers.results.report_page.executed import Executed

AUDIT, TESTBED = "07", "06"
SPREAD = "Simpler models, several seeds"  # the section of 07 whose first table has mean and deviation over seeds
AUDIT_COMMAND = "python -m tlids_helpers.notebooks --into runs/audit 07 -p dataset testbed"
TESTBED_COMMAND = "python -m tlids_helpers.notebooks --into runs/testbed 06"


def audits(found: Sequence[Executed]) -> Part:
    """The closing sentences of every audit, and its table of several seeds."""
    shown, stopped = executed.newest(found, AUDIT)
    made = _stopped(stopped)
    for one in shown:
        title = executed.about(one).replace(f" [{executed.mark_of(one)}]", "").replace(" [published file]", "")
        made += [Title(title or one.name, executed.mark_of(one)), Text(f"From {one.path}.")]
        made += [*executed.closing(one), *_spread(one)]
    if not shown:
        made.append(Nothing("No audit was executed here.", AUDIT_COMMAND))
    return Part("audit", "The audit's sentences", made)


def testbeds(found: Sequence[Executed]) -> Part:
    """The closing sentences of the latest testbed notebook, and below them all that it shows."""
    shown, stopped = executed.newest(found, TESTBED)
    if not shown:
        return Part("testbed", "The testbed", [*_stopped(stopped), Nothing("Not run here.", TESTBED_COMMAND)])
    last = shown[-1]
    older = f" {len(shown) - 1} older, with other parameters, left out." if len(shown) > 1 else ""
    made: list[Block] = [*_stopped(stopped), Text(f"From {last.path}.{older}"), *executed.closing(last)]
    return Part("testbed", "The testbed", [*made, *executed.blocks(executed.after_the_versions(last))])


def quoted(found: Sequence[Executed]) -> list[Executed]:
    """The notebooks that the two parts show."""
    return [*executed.newest(found, AUDIT)[0], *executed.newest(found, TESTBED)[0][-1:]]


def marks(found: Sequence[Executed]) -> list[Cell]:
    """Those notebooks by their paths, each with the mark of its rows; "partly simulated" where only some are."""
    cells = []
    for one in quoted(found):
        mark = executed.mark_of(one)
        partly = "simulated" not in mark and executed.speaks_of_simulated(one)
        cells.append(Cell(one.path, "partly simulated" if partly else mark))
    return cells


def _spread(one: Executed) -> list[Block]:
    cells = executed.section(one, SPREAD)
    found = [block for block in executed.blocks(cells) if isinstance(block, Html) and "<table" in block.html]
    return [Text("Several seeds, mean ± deviation:"), found[0]] if found else []


def _stopped(stopped: Sequence[Executed]) -> list[Block]:
    return [Text(f"{one.path} stopped in a cell before its end, so it is left out.") for one in stopped]
