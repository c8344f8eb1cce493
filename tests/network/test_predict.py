"""Prediction in batches keeps the order of the rows."""

import numpy as np
from small_flows import fitted, raw_flows

from tlids_helpers.network.model import predict


def test_probabilities_come_in_the_order_of_the_rows():
    flows, network = raw_flows(), fitted().model
    one_by_one = np.concatenate([network(flows[i : i + 1]).numpy() for i in range(5)])
    np.testing.assert_allclose(predict(network, flows)[:5], one_by_one, atol=1e-6)
