"""What the notebooks show of the network: the source that runs, the layers, the curves."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from small_flows import fitted

from tlids_helpers.network import model, show, training, transfer

HISTORY = {"loss": [1.0, 0.5, 0.3, 0.2], "val_loss": [1.1, 0.6, 0.4, 0.5],
           "accuracy": [0.5, 0.7, 0.8, 0.9], "val_accuracy": [0.4, 0.6, 0.8, 0.7]}  # fmt: skip
STUDY = pd.DataFrame({"parameter": ["learning_rate"] * 3 + ["batch_size"] * 2, "value": [0.01, 0.001, 0.0001, 64, 128],
                      "val_accuracy": [0.9, 0.8, 0.6, 0.85, 0.9]})  # fmt: skip
MAKERS = {
    "training_curves": lambda **k: show.training_curves(HISTORY, **k),
    "arm_curves": lambda **k: show.arm_curves({"from scratch": HISTORY, "transfer": HISTORY}, **k),
    "sweep": lambda **k: show.sweep(STUDY, **k),
}


@pytest.mark.parametrize(
    "function, lines",
    [
        (model.backbone, ["layers.Conv1D(", "layers.BatchNormalization(momentum=momentum"]),
        (training.fit, ["learner.compile(", "EarlyStopping("]),
        (transfer.train_transferred, ["blocks.trainable = False"]),
    ],
)
def test_the_source_shown_is_the_one_that_runs(function, lines):
    shown = show.code(function)
    assert repr(shown).startswith(f"def {function.__name__}(")
    assert all(line in repr(shown) for line in lines)
    assert shown._repr_markdown_() == f"```python\n{shown!r}\n```"
    assert repr(shown) in Path(function.__code__.co_filename).read_text()


def test_the_layers_are_the_models_with_the_mark_in_the_corner():
    table = show.layers(fitted().model, "subset")
    assert table["weights"].sum() == fitted().model.count_params() and table.columns.name == "subset"


def visible(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


@pytest.mark.parametrize("name", MAKERS)
def test_axes_are_labelled_and_the_mark_is_in_the_title(name, capsys):
    figure = MAKERS[name](mark="simulated")
    FigureCanvasAgg(figure).draw()  # pyplot has closed the figure, and its canvas draws nothing any more
    assert figure.get_suptitle().endswith("[simulated]")
    assert "simulated" in [text.get_text() for text in figure.texts]  # the watermark
    assert all(axes.get_xlabel() for axes in visible(figure)) and visible(figure)[0].get_ylabel()
    assert capsys.readouterr() == ("", "")
    assert not plt.get_fignums()  # nothing left open for pyplot to draw again


@pytest.mark.parametrize("name", MAKERS)
def test_a_mark_without_simulated_rows_has_no_watermark_and_no_mark_no_brackets(name):
    figure = MAKERS[name](mark="v2 subset")
    assert figure.get_suptitle().endswith("[v2 subset]")
    assert "simulated" not in [text.get_text() for text in figure.texts]
    assert "[" not in MAKERS[name]().get_suptitle()


def test_the_best_epoch_is_that_of_the_lowest_validation_loss():
    assert show.best_epoch(HISTORY) == 3
    for axes in visible(show.training_curves(HISTORY)):
        (line,) = [line for line in axes.lines if line.get_label() == "best epoch: 3"]
        assert list(line.get_xdata()) == [3, 3]
        assert {"training", "validation"} < {text.get_text() for text in axes.get_legend().get_texts()}
    epochs = len(HISTORY["loss"])
    assert show.training_curves(HISTORY, "T").get_suptitle() == f"T: validation loss lowest at epoch 3 of {epochs}"


def test_each_arm_has_its_curve_and_its_best_epoch():
    (axes,) = visible(MAKERS["arm_curves"]())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "from scratch (best: 3)",
        "transfer (best: 3)",
    ]
    assert list(axes.lines[0].get_ydata()) == HISTORY["val_loss"]


def test_the_sweep_stars_the_papers_choice():
    axes = visible(show.sweep(STUDY))[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.0001", "0.001", "0.01"]
    assert np.allclose(axes.collections[1].get_offsets(), [[2, 0.9]])
