"""Runs inside: the home's services and boards, asked one after the other; prints what they answered."""

import hashlib
import json
import time

from testbed import network as lab
from testbed.home import BOARDS, start_board
from testbed.network import FOLDER, need_programs
from testbed.services import servers

need_programs(servers.PROGRAMS)
net = lab.build(lab.Plan(3))
servers.start_servers(net)
secrets = servers.credentials(net)
found = {}


def curl(*words):
    shown = ["-o", "/dev/null", "-w", "%{http_code} %{size_download}"]
    return net.run("phone", ["curl", "-sSk", *shown, *words], 30).stdout


found["page"] = curl("http://dashboard.home/")
found["missing"] = curl("http://dashboard.home/nothing")
found["image"] = curl("http://dashboard.home/firmware/esp8266.bin")
found["admin"] = [
    curl(*words, "http://dashboard.home/admin/") for words in ((), ("-u", "resident:" + secrets["resident"]))
]
forms = ["user=resident&password=" + word for word in ("x", secrets["resident"])]
found["login"] = [curl("-d", form, "http://dashboard.home/login") for form in forms]
found["outside"] = curl("https://news.example/1234")
found["nobody"] = net.run("phone", ["getent", "hosts", "nobody.example"], 10).returncode


def mqtt(program, user, password, *words):
    argv = [program, "-h", "broker.home", "-u", user, "-P", password, *words]
    return net.run("phone", argv, 40)


found["stranger"] = mqtt("mosquitto_pub", "phone", "wrong", "-t", "home/x", "-m", "1").returncode
boards = {name: start_board(net, name) for name in BOARDS}


def hear(topic, count=1):
    heard = mqtt("mosquitto_sub", "phone", secrets["phone"], "-t", topic, "-C", str(count), "-W", "30").stdout
    return heard.split("\n")[:count]


found["online"] = [hear("home/" + name + "/online") for name in BOARDS]
found["telemetry"] = hear("home/fire-alarm/telemetry")


def tell(topic, message):
    assert mqtt("mosquitto_pub", "phone", secrets["phone"], "-t", topic, "-m", message).returncode == 0


tell("home/room-light/set", json.dumps({"level": 70}))
end = time.monotonic() + 30
while hear("home/room-light/level") != ["70"] and time.monotonic() < end:
    time.sleep(0.2)
found["level"] = hear("home/room-light/level")
flash = FOLDER / "boards" / "room-light" / "main.py"
body = flash.read_bytes()
flash.write_bytes(body + b"# old\n")


def announce(digest):
    url = "http://dashboard.home/firmware/room-light/main.py"
    tell("home/room-light/set", json.dumps({"update": {"url": url, "size": len(body), "sha256": digest}}))


announce("0" * 64)
time.sleep(2)
found["forged update"] = flash.read_bytes() == body
announce(hashlib.sha256(body).hexdigest())
end = time.monotonic() + 30
while flash.read_bytes() != body and time.monotonic() < end:
    time.sleep(0.2)
found["update"] = flash.read_bytes() == body
found["alive"] = [board.poll() for board in boards.values()]
ask = FOLDER / "ask"


def ssh(password):
    ask.touch(0o700)
    ask.write_text("#!/bin/sh\necho " + password + "\n")
    options = ["-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oNumberOfPasswordPrompts=1"]
    argv = ["env", "SSH_ASKPASS=" + str(ask), "SSH_ASKPASS_REQUIRE=force", "ssh", *options]
    return net.run("laptop", [*argv, "maintainer@pi-server.home", "echo in"], 30).stdout.strip()


found["ssh"] = [ssh(secrets["maintainer"]), ssh("wrong")]
print("FOUND", json.dumps(found))
net.close()
