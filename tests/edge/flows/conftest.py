"""Both meters go through the same tests: `pytestmark = pytest.mark.usefixtures("each_meter")`."""

import pytest
from tlids_edge.flows.compiled import CompiledMeter
from tlids_edge.flows.meter import Meter


def compiled_meter(*settings, **named):
    """The compiled meter, but Python's for CICFlowMeter's endings."""
    python = Meter(*settings, **named)
    return CompiledMeter(*settings, **named) if python.endings == CompiledMeter.endings else python


@pytest.fixture(params=["python", "compiled"])
def each_meter(request, monkeypatch):
    """Let the module's `Meter` be Python's, then the compiled one."""
    if request.param == "compiled":
        request.getfixturevalue("compiled")
        monkeypatch.setattr(request.module, "Meter", compiled_meter)
