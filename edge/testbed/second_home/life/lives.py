"""Who lives in the second home. Run as `python -m testbed.second_home.life.lives HOST SEED SECRETS.json`."""

import json
import sys
from functools import partial
from pathlib import Path

from testbed.life import habits
from testbed.second_home.life import people, things

LIVES = {
    "nas": things.nas, "hub": things.hub, "camera": things.camera, "thermostat": things.thermostat,
    "air-sensor": partial(things.sensor, "air"), "water-meter": partial(things.sensor, "water"), "plug": things.plug,
    "speaker": things.speaker, "console": things.console, "phone": people.phone, "laptop": people.laptop,
    "tablet": people.tablet,
}  # fmt: skip
"""Host -> its days, out of the home's secrets."""
SLOWER = 4.4  # than the pauses that stand beside the habits: four to five flows a second in all


def main(host: str, seed: str, secrets: Path) -> None:
    """Live until killed."""
    habits.live(f"{seed} {host}", *LIVES[host](json.loads(secrets.read_text())), slower=SLOWER)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
