"""What the boards' sensors sense: a room's air, light and people, changing over time as they do.

Temperature and humidity wander around a mean (Ornstein-Uhlenbeck process); burnt toast and, more rarely, a fire
let smoke rise and fade; people come and go; clouds pass. The seed is the first argument of the program.
"""

import json
import math
import random
import sys
import time
from pathlib import Path

STEP_S = 0.5
MEANS = {"temperature": 21.5, "humidity": 46.0, "smoke": 95.0, "daylight": 420.0}
SPREADS = {"temperature": 0.06, "humidity": 0.25, "smoke": 4.0, "daylight": 22.0}  # per square root of a second
PULLS = {"temperature": 0.02, "humidity": 0.01, "smoke": 0.08, "daylight": 0.01}  # towards the mean, 1/s
TOAST_S, FIRE_S = 90.0, 260.0  # mean time between two of them
STILL_S, MOVING_S = 28.0, 9.0  # mean time without and with motion
PRESS_S = 240.0
WIRING = {
    "fire-alarm": {"A0": "smoke", "GPIO0": "button"},
    "room-light": {"A0": "daylight", "GPIO12": "motion", "GPIO0": "button"},
}


class Room:
    """The state of a room; `advance` lets time pass."""

    def __init__(self, seed: str) -> None:
        """A room at rest."""
        self.draw = random.Random(f"{seed} room")
        self.level = dict(MEANS)
        self.fuel = 0.0  # smoke still to be given off
        self.heat = 0.0
        self.motion = self.pressed = False
        self.passed = 0.0

    def advance(self, now: float) -> None:
        """Let time pass up to `now`, in seconds since the start."""
        while self.passed + STEP_S <= now:
            self.passed += STEP_S
            self.wander()
            self.burn()
            self.people()

    def wander(self) -> None:
        """One step of every level's random walk, drawn back to its mean."""
        for name, mean in MEANS.items():
            noise = self.draw.gauss(0, SPREADS[name]) * math.sqrt(STEP_S)
            self.level[name] += PULLS[name] * (mean - self.level[name]) * STEP_S + noise

    def burn(self) -> None:
        """Something burns at times: little smoke, or much smoke and heat; it fades in about half a minute."""
        if self.chance(TOAST_S):
            self.fuel += self.draw.uniform(100, 300)
        if self.chance(FIRE_S):
            self.fuel += self.draw.uniform(700, 1200)
            self.heat += self.draw.uniform(5, 20)
        given = self.fuel * 0.12 * STEP_S
        self.fuel -= given
        self.level["smoke"] += given
        self.level["temperature"] += self.heat * 0.05 * STEP_S
        self.heat *= 1 - 0.05 * STEP_S

    def people(self) -> None:
        """They come, go, and press a button now and then."""
        if self.chance(MOVING_S if self.motion else STILL_S):
            self.motion = not self.motion
        self.pressed = self.chance(PRESS_S)

    def chance(self, mean_s: float) -> bool:
        """Whether something that happens once in `mean_s` happens in this step."""
        return self.draw.random() < STEP_S / mean_s

    def read(self, name: str) -> float:
        """What a sensor of that name says."""
        if name == "button":
            return 0 if self.pressed else 1  # a pull-up resistor
        return float(self.motion) if name == "motion" else self.level[name]


def board() -> str:
    """The name of the board whose config.json lies in this folder."""
    return json.loads(Path("config.json").read_text())["name"]


def sense(pin: str) -> float:
    """What is measured at a pin, by the board's wiring; 1 at a pin that nothing is wired to."""
    name = WIRING[board()].get(pin)
    return 1.0 if name is None else quantity(name)


def quantity(name: str) -> float:
    """A quantity of the room now."""
    ROOM.advance(time.monotonic() - STARTED)
    return ROOM.read(name)


ROOM = Room(sys.argv[1] if len(sys.argv) > 1 else "0")
STARTED = time.monotonic()
