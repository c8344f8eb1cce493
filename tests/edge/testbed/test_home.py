"""The whole home in its namespaces: every service answers, the boards obey, an update reaches a board."""

import json
from pathlib import Path

import pytest
from inside import need_namespaces, run_inside


@pytest.fixture(scope="module")
def found() -> dict:
    need_namespaces()
    from inside import shutil
    from testbed.services.servers import PROGRAMS

    missing = [name for name in (*PROGRAMS, "curl", "mosquitto_sub") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; see edge/testbed/apt-packages.txt")
    done = run_inside(Path(__file__).with_name("live_home.py").read_text(), timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.partition("FOUND ")[2])


def test_the_dashboard_serves_pages_downloads_and_refuses_strangers(found):
    assert found["page"].startswith("200 ") and found["missing"].startswith("404 ")
    assert found["image"] == "200 610304"
    assert [answer[:3] for answer in found["admin"]] == ["401", "200"]
    assert [answer[:3] for answer in found["login"]] == ["401", "303"]


def test_names_and_the_world_outside_are_reached_and_unknown_names_are_not(found):
    assert found["outside"] == "200 1234" and found["nobody"] == 2


def test_the_broker_refuses_a_wrong_password_and_sshd_too(found):
    assert found["stranger"] != 0
    assert found["ssh"] == ["in", ""]


def test_the_boards_come_online_tell_their_readings_and_obey(found):
    assert found["online"] == [["true"], ["true"]]
    reading = json.loads(found["telemetry"][0])
    assert set(reading) == {"smoke", "temperature", "humidity", "alarm", "time"} and 0 <= reading["smoke"] <= 1023
    assert found["level"] == ["70"] and found["alive"] == [None, None]


def test_a_board_takes_an_update_only_with_the_announced_digest(found):
    assert found["forged update"] is False and found["update"] is True
