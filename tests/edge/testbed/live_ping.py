"""Runs inside: pings between two hosts, and what the bridge showed of them."""

import subprocess

from testbed import network as lab

net = lab.build(lab.Plan(1))
cap = net.capture("/run/testbed/x.pcap")
done = net.run("phone", ["ping", "-n", "-c", "3", "-i", "0.2", "-s", "1400", net.hosts["room-light"].address], 20)
assert done.returncode == 0, done
assert net.run("phone", ["ping", "-c", "1", "-W", "1", "8.8.8.8"], 20).returncode == 1
print(net.stop(cap))
argv = ["tcpdump", "-envvr", "/run/testbed/x.pcap", "icmp and net 192.168.7.0/24"]
shown = subprocess.run(argv, capture_output=True, text=True)
print(shown.stdout)
print("MACS", net.hosts["phone"].mac, net.hosts["room-light"].mac)
net.close()
