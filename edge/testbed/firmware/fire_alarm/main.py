"""A fire alarm: MQ-2 smoke sensor and DHT11 on an ESP8266 (NodeMCU), MicroPython.

A0 (ADC)    MQ-2 smoke sensor, 0 to 1023
D2 (GPIO4)  DHT11, temperature and humidity
D5 (GPIO14) buzzer
D3 (GPIO0)  test button, pressed is 0
"""

import dht
import machine
from home_device import Every, read_config, report, run, unix_time

config = read_config()
smoke_sensor = machine.ADC(0)
climate_sensor = dht.DHT11(machine.Pin(4))
buzzer = machine.PWM(machine.Pin(14), freq=2400, duty=0)
button = machine.Pin(0, machine.Pin.IN, machine.Pin.PULL_UP)

sample = Every(config["sample_s"])
telemetry = Every(config["telemetry_s"])
reporting = Every(config["report_s"])
state = {"smoke": 0, "temperature": None, "humidity": None, "alarm": False, "silenced": False, "high": 0, "test": False}


def measure():
    """Read the sensors; a DHT11 now and then does not answer, then the last value stands."""
    state["smoke"] = smoke_sensor.read()
    try:
        climate_sensor.measure()
        state["temperature"] = climate_sensor.temperature()
        state["humidity"] = climate_sensor.humidity()
    except OSError:
        pass


def judge():
    """Alarm after three high samples in a row, all clear only well below the limit."""
    hot = state["temperature"] is not None and state["temperature"] >= config["hot_celsius"]
    high = hot or state["smoke"] >= config["smoke_limit"] or state["test"] or button.value() == 0
    state["high"] = state["high"] + 1 if high else 0
    if state["alarm"]:
        alarm = high or state["smoke"] >= config["smoke_limit"] * 3 // 4
    else:
        alarm = state["high"] >= 3
    state["test"] = state["test"] and not alarm
    changed = alarm != state["alarm"]
    state["alarm"] = alarm
    if not alarm:
        state["silenced"] = False
    buzzer.duty(512 if alarm and not state["silenced"] else 0)
    return changed


def reading():
    """What is told to the home."""
    told = {name: state[name] for name in ("smoke", "temperature", "humidity", "alarm")}
    told["time"] = unix_time()
    return told


def on_command(wanted):
    """`"silence"` until the air is clear, `"test"` sounds the alarm."""
    if wanted == "silence":
        state["silenced"] = True
    elif wanted == "test":
        state["test"] = True


def work(link):
    """One turn: measure, judge, tell."""
    if not sample.due():
        return
    measure()
    if judge():
        link.publish("alarm", state["alarm"], retain=True)
    if telemetry.due() or state["alarm"]:
        link.publish("telemetry", reading())
    if reporting.due():
        report(config, reading())


run(config, on_command, work)
