"""How little it takes: one feature alone, one comparison, and one feature learned on one attack, tried on all others.

D'hooge et al. 2022 ("Discovering non-metadata contaminant features in intrusion detection datasets"): where one number
tells attack from benign, also for attacks it was never shown, it is the recording that is recognised.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from tlids_helpers.audit.check import Check, checked, found
from tlids_helpers.common.errors import InputError
from tlids_helpers.common.style import marked
from tlids_helpers.data import prepare
from tlids_helpers.data.prepare import Prepared

LEAVES = 32  # of a tree on one feature: enough for several ranges, too few to learn a port by heart
HIGH = 0.9  # ROC-AUC


@checked
def one_feature(prepared: Prepared, seed: int = 42) -> Check:
    """Benign or attack from each feature alone: a tree of LEAVES leaves, and one comparison (a stump).

    Columns: feature, tree and stump (balanced accuracy, fractions; 0.5 is guessing), rule (the comparison), wrong (test
    rows that the stump gets wrong), test_rows. Both weigh the two kinds equally. Trained on the training split, scored
    on the test split. Not possible without a benign class.
    """
    train, test = (prepare.load(prepared, role, "binary") for role in ("train", "test"))
    prepare.class_list(prepared, "binary")
    rows = []
    for column, name in enumerate(prepared.features):
        tree, stump = (_tree(train[0][:, [column]], train[1], seed, leaves) for leaves in (LEAVES, 2))
        said = [model.predict(test[0][:, [column]]) for model in (tree, stump)]
        scores = [balanced_accuracy_score(test[1], each) for each in said]
        wrong = int((said[1] != test[1]).sum())
        rows.append((name, *scores, _rule(stump, name), wrong, len(test[1])))
    table = pd.DataFrame(rows, columns=["feature", "tree", "stump", "rule", "wrong", "test_rows"])
    table = table.sort_values("stump", ascending=False, ignore_index=True)
    best = table.iloc[0]
    return found(marked(table, prepared.mark), (
        f"One comparison, {best['rule']}, tells benign from attack with a balanced accuracy of {best['stump']:.3f} "
        f"({best['wrong']:,} of {best['test_rows']:,} test rows wrong); {table.loc[table['tree'].idxmax(), 'feature']} "
        f"alone reaches {table['tree'].max():.3f}."
    ))  # fmt: skip


@checked
def one_attack(prepared: Prepared, seed: int = 42) -> Check:
    """One feature learned on benign rows and one attack class, tried on benign rows and each other attack class.

    One row an attack class that was learned: class, feature (the one that does best on the others), itself and others
    (ROC-AUC on that class and the mean over the others), high (how many of the others reach HIGH), of (the others).
    Trained on the training split, scored on the test split. Not possible without a benign class and two attacks.
    """
    prepare.class_list(prepared, "binary")
    train, test = (prepare.load(prepared, role) for role in ("train", "test"))
    attacks = [code for code in np.unique(test[1]) if code and (train[1] == code).any()]
    if len(attacks) < 2:
        raise InputError(
            f"expected two attack classes in {prepared.title}, found {len(attacks)}: give a file with more"
        )
    rows = []
    for code in attacks:
        areas = np.array([_areas(train, test, attacks, code, column, seed) for column in range(len(prepared.features))])
        others = np.delete(areas, attacks.index(code), axis=1)
        best = int(others.mean(axis=1).argmax())
        rows.append((prepared.classes[code], prepared.features[best], areas[best, attacks.index(code)],
                     others[best].mean(), int((others[best] >= HIGH).sum()), len(attacks) - 1))  # fmt: skip
    table = pd.DataFrame(rows, columns=["class", "feature", "itself", "others", "high", "of"])
    best = table.loc[table["others"].idxmax()]
    return found(marked(table, prepared.mark), (
        f"{best['feature']} alone, learned on {best['class']} alone, ranks the flows of the other {best['of']} attack "
        f"classes above benign ones with a mean ROC-AUC of {best['others']:.3f}; {best['high']} of them reach {HIGH}."
    ))  # fmt: skip


def _areas(train: tuple, test: tuple, attacks: list[int], code: int, column: int, seed: int) -> list[float]:
    """ROC-AUC on the test rows of each class of `attacks` of a tree on one feature, learned on the class `code`."""
    chosen = (train[1] == 0) | (train[1] == code)
    model = _tree(train[0][chosen][:, [column]], train[1][chosen] > 0, seed, LEAVES)
    suspicion = model.predict_proba(test[0][:, [column]])[:, 1]
    return [roc_auc_score(test[1][both] > 0, suspicion[both]) for both in
            ((test[1] == 0) | (test[1] == attack) for attack in attacks)]  # fmt: skip


def _tree(features: np.ndarray, attack: np.ndarray, seed: int, leaves: int) -> DecisionTreeClassifier:
    """A fitted tree of at most `leaves` leaves in which benign and attack rows weigh the same."""
    return DecisionTreeClassifier(max_leaf_nodes=leaves, class_weight="balanced", random_state=seed).fit(
        features, attack
    )


def _rule(stump: DecisionTreeClassifier, feature: str) -> str:
    """A stump in words; "always ..." where no comparison helps."""
    words = ["benign", "attack"]
    if stump.tree_.node_count == 1:
        return f"always {words[int(stump.tree_.value[0, 0].argmax())]}"
    left = words[int(stump.tree_.value[1, 0].argmax())]
    return f"{left} if {feature} <= {stump.tree_.threshold[0]:g}"
