"""What the numbers hide: each check is one function, and returns a table and a sentence in counts (notebooks 08, 09).

rows.py, labels.py, split.py: the rows. baselines.py, single.py, seeds.py, alarms.py, explain.py, networks.py: the
models.

Arp et al., USENIX Security 2022; Engelen et al. 2021; Liu et al. 2022; D'hooge et al. 2022; Flood et al., EuroS&P 2024.
"""

from tlids_helpers.audit.alarms import calibration, false_alarms, open_set
from tlids_helpers.audit.baselines import ablation
from tlids_helpers.audit.check import Check
from tlids_helpers.audit.labels import label_noise
from tlids_helpers.audit.networks import cross, drift
from tlids_helpers.audit.rows import ceiling, ceiling_by_class, census, duplicates, support, twins
from tlids_helpers.audit.seeds import against_best
from tlids_helpers.audit.single import one_attack, one_feature
from tlids_helpers.audit.split import overlap, scaler_leak, splits, transfer_arms

__all__ = [
    "Check", "ablation", "against_best", "calibration", "ceiling", "ceiling_by_class", "census", "cross", "drift",
    "duplicates", "false_alarms", "label_noise", "one_attack", "one_feature", "open_set", "overlap", "scaler_leak",
    "splits", "support", "transfer_arms", "twins",
]  # fmt: skip
