"""MicroPython's `machine` for the testbed: pins and converters that read the simulated surroundings."""

from pathlib import Path

from surroundings import sense


class Reset(BaseException):
    """The board starts again; no `except Exception` of a main.py stops it."""


def reset() -> None:
    """Start again."""
    raise Reset


def unique_id() -> bytes:
    """The board's id: the last three bytes of its MAC address, as on the ESP8266."""
    return bytes.fromhex(Path("/sys/class/net/eth0/address").read_text().strip().replace(":", ""))[3:]


class Pin:
    """A pin that reads what is wired to it, or keeps what is written to it."""

    IN, OUT, PULL_UP = 0, 1, 1

    def __init__(self, number: int, mode: int = IN, pull: int | None = None) -> None:
        """A pin by its GPIO number."""
        self.number, self.mode, self.written = number, mode, 0

    def value(self, level: int | None = None) -> int | None:
        """Read the pin, or write it."""
        if level is not None:
            self.written = level
            return None
        return self.written if self.mode == Pin.OUT else int(sense(f"GPIO{self.number}"))


class PWM:
    """Pulses on a pin; nothing in the testbed sees them."""

    def __init__(self, pin: Pin, freq: int = 500, duty: int = 0) -> None:
        """Pulses of a frequency and a duty of 0 to 1023."""
        self.pin, self.frequency, self.width = pin, freq, duty

    def duty(self, width: int | None = None) -> int | None:
        """Read or set the duty.

        Raises:
            ValueError: outside 0 to 1023.
        """
        if width is None:
            return self.width
        if not 0 <= width <= 1023:
            raise ValueError(f"expected a duty from 0 to 1023, found {width}")
        self.width = width
        return None


class ADC:
    """The ESP8266's one converter, of ten bits."""

    def __init__(self, number: int) -> None:
        """Converter 0; there is no other."""
        if number != 0:
            raise ValueError(f"expected converter 0 of an ESP8266, found {number}")

    def read(self) -> int:
        """0 to 1023."""
        return max(0, min(1023, round(sense("A0"))))
