#!/usr/bin/env python3
"""Watch a network with a trained model (paper, Section 5.3): `tlids-edge`, runnable from a copied folder.

On a 64-bit Raspberry Pi OS:

    sudo apt install tcpdump libndpi4.2
    python3 -m venv venv && venv/bin/pip install numpy ai-edge-litert
    sudo venv/bin/python capture_and_infer.py --model MODEL_FOLDER --source eth0

Nothing else is needed; `--help` lists the options.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tlids_edge.cli.start import edge

if __name__ == "__main__":
    sys.exit(edge())
