"""The interpreter takes batches of any size."""

import numpy as np
from small_flows import FLOAT32, rows

from tlids_helpers.export import litert


def test_batches_of_any_size_give_the_same(exports):
    flows = rows(1500, seed=6)[0]
    whole = litert.predict(exports["float32"].content, flows)
    one_by_one = np.concatenate([litert.predict(exports["float32"].content, row[None]) for row in flows[1020:1030]])
    np.testing.assert_allclose(one_by_one, whole[1020:1030], atol=FLOAT32)
    assert litert.predict(exports["float32"].content, flows[:0]).shape == (0, 4)
