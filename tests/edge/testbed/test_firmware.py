"""The boards' firmware, unchanged over the stand-ins, and the surroundings it senses."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from inside import EDGE

TESTBED = EDGE / "testbed"
BOARDS = ("fire_alarm", "room_light")
# the ESP8266's built-in and frozen modules (MicroPython documentation, "MicroPython libraries" and the port's manifest)
ON_THE_BOARD = {
    "binascii", "dht", "hashlib", "json", "machine", "network", "ntptime", "os", "requests", "time", "umqtt",
    "home_device",
}  # fmt: skip


@pytest.mark.parametrize(
    "path", sorted(TESTBED.glob("firmware/**/*.py")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_firmware_imports_only_what_the_board_has(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    assert names and names <= ON_THE_BOARD


@pytest.mark.parametrize("board", BOARDS)
def test_a_shipped_config_names_the_board_and_holds_no_password(board):
    config = json.loads((TESTBED / "firmware" / board / "config.json").read_text())
    assert config["name"] == board.replace("_", "-")
    assert config["password"] == config["wifi_password"] == "change me"


def in_standins(tmp_path: Path, name: str, program: str) -> str:
    """Run a program among the stand-ins as the board of that name; what it printed."""
    (tmp_path / "config.json").write_text(json.dumps({"name": name}))
    head = f"import sys; sys.argv = ['boot.py', '4']; sys.path.insert(0, {str(TESTBED / 'standins')!r})\n"
    done = subprocess.run(
        [sys.executable, "-P", "-c", head + program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_day_in_the_room_wanders_burns_and_calms_down(tmp_path):
    program = (
        "import json, surroundings\n"
        "room, rows = surroundings.Room('4'), []\n"
        "for second in range(1, 7201):\n"
        "    room.advance(second)\n"
        "    rows.append([room.read(n) for n in ('smoke', 'temperature', 'humidity', 'motion')])\n"
        "print(json.dumps(rows))\n"
    )
    rows = json.loads(in_standins(tmp_path, "fire-alarm", program))
    smoke, temperature, humidity, motion = zip(*rows, strict=True)
    high = sum(value >= 400 for value in smoke)
    assert 0 < high < 0.2 * len(smoke), "alarms happen, and are the exception"
    assert 50 < sorted(smoke)[len(smoke) // 2] < 200
    assert 15 < min(temperature) and max(temperature) < 60
    assert max(abs(one - two) for one, two in zip(temperature, temperature[1:], strict=False)) < 1.5
    assert 30 < min(humidity) and max(humidity) < 62
    assert 0.1 < sum(motion) / len(motion) < 0.5


def test_the_same_seed_gives_the_same_room_and_another_another(tmp_path):
    program = (
        "import surroundings\n"
        "def day(seed):\n    room = surroundings.Room(seed); room.advance(600); return room.level\n"
        "print(day('1') == day('1'), day('1') == day('2'))\n"
    )
    assert in_standins(tmp_path, "room-light", program).split() == ["True", "False"]


def test_ticks_wrap_as_on_the_board(tmp_path):
    program = (
        "import time, boot\nboot.add_ticks()\n"
        "print(time.ticks_diff(5, time.ticks_add(5, -20)), time.ticks_diff(time.ticks_add(5, -20), 5))\n"
    )
    assert in_standins(tmp_path, "fire-alarm", program).split() == ["20", "-20"]


def test_an_mqtt_length_is_encoded_as_the_standard_says(tmp_path):
    program = (
        "from umqtt.simple import remaining_length as r\nprint([r(n).hex() for n in (0, 127, 128, 16383, 16384)])\n"
    )
    expected = ["00", "7f", "8001", "ff7f", "808001"]  # MQTT 3.1.1, table 2.4
    assert ast.literal_eval(in_standins(tmp_path, "fire-alarm", program)) == expected
