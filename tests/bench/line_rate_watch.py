"""`tlids-edge`, and at its end a file that says how many flows of one client to one port were judged and left out.

python tests/bench/line_rate_watch.py ADDRESS PORT COUNTS [option of tlids-edge ...]
"""

import json
import socket
import sys
from pathlib import Path

import numpy as np
from tlids_edge.alerts.reporter import Reporter
from tlids_edge.cli import edge
from tlids_edge.detect.judging import Batch


class Counted(Reporter):
    """Counts on its way what concerns the client."""

    address, port = 0, 0
    found = {"judged": 0, "left_out": 0}

    def take(self, batch: Batch, now_us: int | None) -> None:
        """Report flows that have been judged."""
        self.found["judged"] += self._of_client(batch.verdicts.rows)
        super().take(batch, now_us)

    def take_unjudged(self, rows: np.ndarray) -> None:
        """Count flows for which there was no time."""
        self.found["left_out"] += self._of_client(rows)
        super().take_unjudged(rows)

    def _of_client(self, rows: np.ndarray) -> int:
        """Flows of the client to its server."""
        sources = np.ascontiguousarray(rows["src"]).view("<u4").reshape(-1, 4)
        return int(np.count_nonzero((sources[:, 0] == self.address) & (rows["dst_port"] == self.port)))


def main() -> int:
    """Watch."""
    client, port, counts, *arguments = sys.argv[1:]
    Counted.address, Counted.port = int.from_bytes(socket.inet_aton(client), "little"), int(port)
    edge.Reporter = Counted
    code = edge.main(arguments)
    Path(counts).write_text(json.dumps(Counted.found))
    return code


if __name__ == "__main__":
    sys.exit(main())
