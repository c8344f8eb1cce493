"""A room light that is switched, dimmed, and follows motion: ESP8266 (NodeMCU), MicroPython.

D1 (GPIO5)  gate of the lamp's transistor, PWM
D6 (GPIO12) PIR motion sensor, moving is 1
D3 (GPIO0)  switch, pressed is 0
A0 (ADC)    light-dependent resistor, 0 (dark) to 1023
"""

import time

import machine
from home_device import Every, read_config, report, run, unix_time

config = read_config()
lamp = machine.PWM(machine.Pin(5), freq=1000, duty=0)
motion_sensor = machine.Pin(12, machine.Pin.IN)
switch = machine.Pin(0, machine.Pin.IN, machine.Pin.PULL_UP)
daylight = machine.ADC(0)

telemetry = Every(config["telemetry_s"])
reporting = Every(config["report_s"])
state = {"level": 0, "target": 0, "motion": 0, "pressed": False, "automatic": True, "moved": time.ticks_ms(), "told": 0}


def on_command(wanted):
    """`{"level": 0 to 100}`, `{"automatic": true}`, or both."""
    if not isinstance(wanted, dict):
        return
    if isinstance(wanted.get("automatic"), bool):
        state["automatic"] = wanted["automatic"]
    if isinstance(wanted.get("level"), int):
        state["target"] = max(0, min(100, wanted["level"]))
        state["automatic"] = wanted.get("automatic", False) is True


def fade():
    """Step towards the wanted level, so that the lamp dims in about a second."""
    step = max(-10, min(10, state["target"] - state["level"]))
    state["level"] += step
    lamp.duty(state["level"] * 1023 // 100)


def follow_motion(link):
    """Tell of motion when it begins and ends; in the dark it lights the lamp, and stillness puts it out."""
    moving = motion_sensor.value()
    now = time.ticks_ms()
    if moving:
        state["moved"] = now
    if moving != state["motion"]:
        state["motion"] = moving
        link.publish("motion", moving)
    if not state["automatic"]:
        return
    if moving and state["target"] == 0 and daylight.read() < config["dark_below"]:
        state["target"] = config["automatic_level"]
    elif time.ticks_diff(now, state["moved"]) > config["off_after_s"] * 1000:
        state["target"] = 0


def follow_switch():
    """A press turns the lamp on or off by hand."""
    pressed = switch.value() == 0
    if pressed and not state["pressed"]:
        on_command({"level": 0 if state["target"] else 100})
    state["pressed"] = pressed


def reading():
    """What is told to the home."""
    return {"level": state["level"], "motion": state["motion"], "daylight": daylight.read(), "time": unix_time()}


def work(link):
    """One turn: sense, dim, tell."""
    follow_motion(link)
    follow_switch()
    fade()
    settled = state["level"] == state["target"] != state["told"]
    if settled:
        state["told"] = state["level"]
        link.publish("level", state["level"], retain=True)
    if settled or telemetry.due():
        link.publish("telemetry", reading())
    if reporting.due():
        report(config, reading())


run(config, on_command, work)
