"""Tables and figure of notebook 05."""

from tlids_helpers.export import convert, show


def test_tables_and_figure_carry_the_mark_and_every_precision(exports, alert, prepared):
    costs = dict.fromkeys(
        exports, {"p50_us": 20.0, "p95_us": 30.0, "per_s_64": 1e5, "per_s_1024": 2e5, "memory_mb": None}
    )
    on_test = convert.rates_on_test(exports["float32"], prepared, "multiclass", alert.value)
    for table in (
        show.agreement(exports, "simulated"),
        show.cost(costs, "simulated"),
        show.arithmetic(exports, "simulated").T,
    ):
        assert list(table.index) == list(convert.PRECISIONS)
    assert show.threshold(alert, on_test, "simulated").columns.name == "simulated"
    figure = show.size_and_latency(exports, costs, "sizes", "simulated")
    assert "[simulated]" in figure.get_suptitle()
    assert "kB" in figure.axes[0].get_xlabel() and "µs" in figure.axes[0].get_ylabel()
    assert len(figure.axes[0].get_legend().get_texts()) == 4
