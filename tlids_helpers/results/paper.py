"""The published tables as tidy frames, cell for cell as Vishwakarma & Kesswani (2023) print them, slips included.

Every frame of results has the columns of `COLUMNS`: `published` is a fraction (NaN where the paper prints a dash),
`printed` the cell as the paper prints it, `dataset` a slug of the catalog ("" where the table names no dataset).
Table 1 and 3 sizes come from the catalog, which holds them already.
"""

import pandas as pd

from tlids_helpers.data.catalog import DATASETS, PAPER_SLUGS

COLUMNS = ["table", "model", "dataset", "metric", "published", "printed"]
METRICS = ("accuracy", "precision", "recall", "f1")
"""The paper's four measurements, in its order; with more than two classes they are weighted by support."""

PROPOSED = "Proposed"
TASKS = {4: "binary", 5: "multiclass", 6: "multiclass", 7: "multiclass", 8: "binary", 9: "multiclass"}
CAPTIONS = {
    4: "Table 4: binary classification, NetFlow datasets",
    5: "Table 5: multi-class classification, NetFlow datasets",
    6: "Table 6: multi-class classification, CICFlowMeter datasets",
    7: "Table 7: multi-class comparison on UNSW-NB15 and CSE-CIC-IDS2018",
    8: "Table 8: binary comparison on UNSW-NB15",
    9: "Table 9: multi-class comparison with other CNN models",
}

_NETFLOW = ("nf-ton-iot", "nf-bot-iot", "nf-unsw-nb15", "nf-cse-cic-ids2018", "nf-uq-nids")
_CICFLOW = ("iot-ds2", "iot-network-intrusion", "mqtt-iot-ids2020", "cic-ton-iot")
_UNSW, _CSE = "nf-unsw-nb15", "nf-cse-cic-ids2018"

# model -> the rows accuracy, precision, recall, F1, one cell a dataset, as printed
_BY_DATASET = {
    4: (
        _NETFLOW,
        {
            "Sarhan et al. [44]": (
                "99.66% 93.82% 98.62% 95.33% 98.34%",
                "99.67% 93.70% 90.70% 94.71% 95.66%",
                "- - - - -",
                "100% 97% 85% 83% 94%",
            ),
            PROPOSED: (
                "99.19% 98.79% 98.32% 98.99% 98.75%",
                "99.20% 98.69% 98.24% 98.98% 98.75%",
                "99.19% 98.79% 98.32% 98.99% 98.75%",
                "99.19% 98.67% 98.26% 98.98% 98.74%",
            ),
        },
    ),
    5: (
        _NETFLOW,
        {
            "Sarhan et al. [44]": (
                "- - - - -",
                "56.34% 73.58% 97.62% 71.92% 70.81%",
                "- - - - -",
                "60% 77% 98% 80% 79%",
            ),
            PROPOSED: (
                "70.54% 83.67% 97.21% 97.53% 93.74%",
                "59.91% 87.13% 96.59% 96.62% 92.75%",
                "70.54% 83.67% 97.21% 97.53% 93.74%",
                "62% 83% 96% 96% 92%",
            ),
        },
    ),
    6: (
        _CICFLOW,
        {
            "Ullah et al. [52]": (
                "99.70% 86.28% 99.92% -",
                "99.74% 88.84% 99.90% -",
                "99.70% 86.28% 99.92% -",
                "99.74% 87.54% 99.91% -",
            ),
            PROPOSED: (
                "97.17% 96.20% 95.33% 86.96%",
                "97.19% 96.13% 96.07% 83.49%",
                "97.17% 96.20% 95.33% 86.96%",
                "96.56% 96.13% 95.23% 81.75%",
            ),
        },
    ),
}

# (model, dataset, cells: accuracy, then precision, recall and F1 where the table has them)
_BY_MODEL = {
    7: (
        ("Yang et al. [57]", _UNSW, "90.21%"),
        ("Popoola et al. [42]", _UNSW, "92.39%"),
        ("Nguyen et al. [39]", _UNSW, "74%"),
        ("Zhao et al. [59]", _UNSW, "86.11%"),
        (PROPOSED, _UNSW, "97.21%"),
        ("Farhan et al. [17]", _CSE, "90.25%"),
        ("Ferrag et al. [18]", _CSE, "97.38%"),
        ("D'hooge et al. [16]", _CSE, "96%"),
        (PROPOSED, _CSE, "97.53%"),
    ),
    8: (
        ("Roy & Cheung [43]", _UNSW, "95.71%"),
        ("Tian et al. [50]", _UNSW, "97%"),
        (PROPOSED, _UNSW, "98.32%"),
    ),
    9: (
        ("Li et al. [31], CNN", "", "86.95% 89.56% 87.25% 88.41%"),
        ("Krithivasan et al. [28], CNN", "", "98.02% 97.71% 98.39% 98.05%"),
        ("Liu et al. [32], CNN", "", "95.86% - - -"),
        ("Yang & Wang [56], CNN", "", "97.34% - - -"),
        ("Bu & Cho [12], CNN", "", "92.53% - - -"),
        ("Khan et al. [27], CNN", "", "94.32% 94.89% 94.32% 94.33%"),
        ("Ge et al. [19], FNN", "", "98.09% 98.88% 98.88% 98.88%"),
        (PROPOSED, _CSE, "97.53% 96.62% 97.53% 96%"),
    ),
}

NOTES = {
    4: (
        "Sarhan et al.'s F1 is printed in whole per cent (100% beside an accuracy of 99.66%) and, by the arithmetic of "
        "the class counts, is that of the attack class, not weighted as the proposed model's; its 'Precision' row fits "
        "its own accuracy and F1 only when read as the detection rate (recall): with a precision of 93.70% on "
        "NF-BoT-IoT, where 97.7% of the flows are attacks, more flows would be false alarms than are benign."
    ),
    5: "F1 is printed in whole per cent; the weighted recall equals the accuracy, by definition.",
    6: "Ullah et al.'s F1 on IoT DS2 (99.74%) equals their precision; the harmonic mean with the recall is 99.72%.",
    7: "The proposed model's two numbers are those of Table 5, on the NetFlow versions of the two datasets.",
    8: "The proposed model's number is that of Table 4, on the NetFlow version of the dataset.",
    9: "The rows compare different datasets: the table names none, and 'Proposed' is Table 5's NF-CSE-CIC-IDS2018.",
}
"""Table -> what to know before comparing with it."""


def fraction(printed: str) -> float:
    """`'70.54%'` -> 0.7054; a dash -> NaN."""
    return float("nan") if printed in "-–" else round(float(printed.removesuffix("%")) / 100, 6)


def table(number: int) -> pd.DataFrame:
    """Table `number` (4 to 9), tidy, in the paper's order of models, metrics and datasets; columns `COLUMNS`.

    Raises ValueError for another number.
    """
    if number in _BY_DATASET:
        slugs, models = _BY_DATASET[number]
        cells = [
            (model, slug, metric, cell)
            for model, rows in models.items()
            for metric, row in zip(METRICS, rows, strict=True)
            for slug, cell in zip(slugs, row.split(), strict=True)
        ]
    elif number in _BY_MODEL:
        cells = [
            (model, slug, metric, cell)
            for model, slug, row in _BY_MODEL[number]
            for metric, cell in zip(METRICS, row.split(), strict=False)
        ]
    else:
        raise ValueError(f"Tables 4 to 9 hold results, not Table {number}: sizes(1) and sizes(3) give the sizes")
    return pd.DataFrame([(number, *cell[:3], fraction(cell[3]), cell[3]) for cell in cells], columns=COLUMNS)


def tables() -> pd.DataFrame:
    """Tables 4 to 9 below one another; columns `COLUMNS`."""
    return pd.concat([table(number) for number in TASKS], ignore_index=True)


def as_printed(frame: pd.DataFrame) -> pd.DataFrame:
    """A tidy table in the paper's layout: a row for each model and metric, a column for each dataset, cells as text."""
    titled = frame.assign(dataset=[title(slug) for slug in frame["dataset"]])
    rows = ["model", "metric"]
    wide = titled.pivot_table(index=rows, columns="dataset", values="printed", aggfunc="first", sort=False)
    order = list(dict.fromkeys(zip(titled["model"], titled["metric"], strict=True)))
    return wide.reindex(order)[list(dict.fromkeys(titled["dataset"]))].fillna("")


def title(slug: str) -> str:
    """A slug's title as the paper writes it; a slug of nobody's catalog (the user's own) stays as it is."""
    return DATASETS[slug].title if slug in DATASETS else slug or "(not named)"


def sizes(number: int) -> pd.DataFrame:
    """Table 1 (NetFlow) or 3 (CICFlowMeter): rows in all, for training and for testing, and the number of classes."""
    family = {1: "netflow", 3: "cicflow"}[number]
    found = [DATASETS[slug] for slug in PAPER_SLUGS if DATASETS[slug].family == family]
    rows = [(number, d.slug, d.title, d.total, d.paper_train, d.paper_test, len(d.classes)) for d in found]
    return pd.DataFrame(rows, columns=["table", "dataset", "title", "total", "train", "test", "classes"])


def testbed() -> pd.DataFrame:
    """Section 5.4: verdicts on 100 packets at the Raspberry Pi under a Zenmap scan; the truth of each is not told."""
    return pd.DataFrame({"verdict": ["anomaly", "benign"], "packets": [19, 81], "published": [0.19, 0.81]})


_SLIPS = (
    (
        "number of attacks",
        "20 attacks (abstract, Section 1.1's contributions)",
        "21 kinds of intrusion (Section 1.1); 21 classes (Table 1)",
        "21 classes, Benign among them: 20 attacks",
    ),
    (
        "accuracy on NF-UQ-NIDS",
        "93.75% (abstract)",
        "93.74% (Table 5)",
        "compare with the table's 93.74%",
    ),
    (
        "batch normalisation",
        "Equations 1 and 2 average over the n neurons of a layer",
        "Section 2.1.1 cites batch normalisation [24], which averages over the batch",
        "Keras BatchNormalization: each channel over the batch",
    ),
    (
        "Adagrad",
        "Equation 9 sums the squared gradients without a root",
        "the text below it speaks of the square root",
        "Keras Adagrad: the root of the sum",
    ),
    (
        "Table 9",
        "'comparison with CNN model', as if on one dataset",
        "'Proposed' is Table 5's NF-CSE-CIC-IDS2018; the other rows name no dataset, and [19] is an FNN",
        "shown as published; ours stands beside 'Proposed' alone",
    ),
    (
        "transfer source",
        "the source NF-UQ-NIDS is pre-trained, the target is new (Section 4.3)",
        "the four targets are subsets of NF-UQ-NIDS (Section 4.3)",
        "both protocols: 'paper', with no target test row in the source's training, and 'leave_target_out'",
    ),
    (
        "time saved by transfer",
        "training and testing times are 'significantly decreased' (abstract, Section 6)",
        "no time is printed anywhere",
        "scratch and transfer are timed side by side (notebook 03)",
    ),
    (
        "training machine",
        "Google Colab, a GPU and 12 GB of RAM (Section 5.2)",
        "Windows 11, 8 GB of RAM (Table 2)",
        "each result records its own versions and times",
    ),
    (
        "CICFlowMeter features",
        "80 features (Section 5.1.2)",
        "83 features, of which nine are chosen (Section 5.1.2)",
        "the columns of the file at hand, without addresses and labels; the paper's nine by default",
    ),
)


def slips() -> pd.DataFrame:
    """Where the paper says two things, or something other than it cites, and what we do about each."""
    return pd.DataFrame(_SLIPS, columns=["about", "in one place", "in another", "here"])
