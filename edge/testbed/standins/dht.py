"""MicroPython's `dht` for the testbed: a DHT11 of whole degrees and percents, which at times does not answer."""

from machine import Pin
from surroundings import ROOM, quantity

SILENT = 0.02  # of all measurements


class DHT11:
    """A sensor of temperature (Celsius) and relative humidity (percent)."""

    def __init__(self, pin: Pin) -> None:
        """A sensor on a pin."""
        self.values = (0, 0)

    def measure(self) -> None:
        """Take a measurement.

        Raises:
            OSError: the sensor did not answer (ETIMEDOUT), as real ones do at times.
        """
        if ROOM.draw.random() < SILENT:
            raise OSError(110)
        self.values = (max(0, round(quantity("temperature"))), max(5, min(95, round(quantity("humidity")))))

    def temperature(self) -> int:
        """Degrees Celsius of the last measurement."""
        return self.values[0]

    def humidity(self) -> int:
        """Percent of the last measurement."""
        return self.values[1]
