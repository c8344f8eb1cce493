"""What both boards share: Wi-Fi, the clock, the broker, reports to the dashboard, and updates over the air.

MicroPython for the ESP8266; only modules of its standard build. Lies beside main.py on the board.
"""

import hashlib
import json
import os
import time
from binascii import hexlify

import machine
import network
import ntptime
import requests
from umqtt.simple import MQTTClient, MQTTException

BOARD_EPOCH = 946684800 if time.gmtime(0)[0] == 2000 else 0  # the ESP8266 counts seconds from 2000
MOST_FAILURES = 8


def read_config():
    """The board's config.json: names, passwords, how often what is done."""
    with open("config.json") as file:
        return json.load(file)


def join_wifi(config):
    """Join the network, and wait until there is an address."""
    network.WLAN(network.AP_IF).active(False)
    station = network.WLAN(network.STA_IF)
    station.active(True)
    if not station.isconnected():
        station.connect(config["wifi"], config["wifi_password"])
    for _ in range(40):
        if station.isconnected():
            return station
        time.sleep_ms(500)
    machine.reset()


def unix_time():
    """Seconds since 1970."""
    return time.time() + BOARD_EPOCH


class Every:
    """Says when it is time again; the counter of milliseconds wraps, so only differences are used."""

    def __init__(self, seconds):
        """Due at once, then every so many seconds."""
        self.ms = int(seconds * 1000)
        self.next = time.ticks_ms()

    def due(self):
        """Whether it is time again."""
        now = time.ticks_ms()
        if time.ticks_diff(now, self.next) < 0:
            return False
        self.next = time.ticks_add(now, self.ms)
        return True


class Link:
    """The board's connection to the broker, with everything that keeps it alive."""

    def __init__(self, config, on_command):
        """`on_command` is called with the JSON of every message below home/NAME/set."""
        self.config = config
        self.on_command = on_command
        self.failures = 0
        self.ping = Every(config["keepalive_s"] / 2)
        self.clock = Every(config["clock_s"])
        self.topic = "home/" + config["name"]
        self.client = None

    def connect(self):
        """Log in at the broker, with a last will, and listen for commands."""
        config = self.config
        name = config["name"] + "-" + hexlify(machine.unique_id()).decode()
        client = MQTTClient(
            name, config["broker"], user=config["user"], password=config["password"], keepalive=config["keepalive_s"]
        )
        client.set_callback(self.receive)
        client.set_last_will(self.topic + "/online", "false", retain=True)
        client.connect()
        client.subscribe(self.topic + "/set")
        client.publish(self.topic + "/online", "true", retain=True)
        self.client = client
        self.failures = 0

    def receive(self, topic, message):
        """Pass a command on, when it is JSON; an update is everybody's business."""
        try:
            wanted = json.loads(message)
        except ValueError:
            return
        if isinstance(wanted, dict) and "update" in wanted:
            update(wanted["update"])
        else:
            self.on_command(wanted)

    def publish(self, name, value, retain=False):
        """Send a value as JSON to home/NAME/name."""
        self.client.publish(self.topic + "/" + name, json.dumps(value), retain=retain)

    def poll(self):
        """Receive what has come, and do what is due."""
        self.client.check_msg()
        if self.ping.due():
            self.client.ping()
        if self.clock.due():
            set_clock(self.config)

    def lost(self):
        """Wait, longer each time, before the next attempt; start over when nothing helps."""
        self.failures += 1
        if self.failures > MOST_FAILURES:
            machine.reset()
        if self.client:
            try:
                self.client.disconnect()
            except OSError:
                pass
        self.client = None
        time.sleep(min(2**self.failures, 30))


def set_clock(config):
    """Ask the home's time server; a board without the time still raises alarms."""
    ntptime.host = config["time_server"]
    try:
        ntptime.settime()
    except OSError:
        pass


def report(config, values):
    """Tell the dashboard over HTTP how the board is; nothing depends on it."""
    try:
        requests.post(config["dashboard"] + "/api/report", json=values, timeout=5).close()
    except (OSError, ValueError):
        pass


def update(wanted):
    """Fetch a new main.py in small pieces, and start it when size and SHA-256 are as announced."""
    digest = hashlib.sha256()
    size = 0
    try:
        answer = requests.get(wanted["url"], timeout=10)
    except (OSError, ValueError):
        return
    try:
        with open("main.new", "wb") as file:
            while size < wanted["size"]:
                piece = answer.raw.read(min(512, wanted["size"] - size))
                if not piece:
                    break
                digest.update(piece)
                file.write(piece)
                size += len(piece)
    except OSError:
        return
    finally:
        answer.close()
    if size == wanted["size"] and hexlify(digest.digest()).decode() == wanted["sha256"]:
        os.rename("main.new", "main.py")
        machine.reset()


def run(config, on_command, work, on_lost=None):
    """Keep the link up and call `work(link)` ten times a second, for ever."""
    join_wifi(config)
    set_clock(config)
    link = Link(config, on_command)
    while True:
        try:
            if link.client is None:
                link.connect()
            link.poll()
            work(link)
            time.sleep_ms(100)
        except (OSError, MQTTException, IndexError):  # umqtt meets a closed connection as a missing byte
            if on_lost:
                on_lost()
            link.lost()
