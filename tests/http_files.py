"""A web server on the loopback whose every answer a test writes beforehand."""

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]
PATIENCE_S = 60  # for what is awaited; only a failing test ever waits so long


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append(dict(self.headers))
        answers = self.server.answers
        with contextlib.suppress(ConnectionError):  # the client has gone
            answers[min(len(self.server.seen), len(answers)) - 1](self)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(*answers: Answer) -> Iterator[ThreadingHTTPServer]:
    """A server that gives `answers` in turn, the last one for ever; `seen` has the headers of each request."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.answers, server.seen = answers, []
    server.url = f"http://127.0.0.1:{server.server_address[1]}/flows"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def head(handler: BaseHTTPRequestHandler, code: int, length: int | None, **headers: str) -> None:
    """Status and headers; `Content_Range` becomes Content-Range."""
    handler.send_response(code)
    if length is not None:
        headers["Content-Length"] = str(length)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def whole(content: bytes, **headers: str) -> Answer:
    """All of it, whatever was asked for."""

    def answer(handler):
        head(handler, 200, len(content), **headers)
        handler.wfile.write(content)

    return answer


def broken(content: bytes, at: int, **headers: str) -> Answer:
    """All of it is promised; the connection closes after `at` bytes."""

    def answer(handler):
        head(handler, 200, len(content), **headers)
        handler.wfile.write(content[:at])

    return answer


def stuck(content: bytes, at: int, until: threading.Event, **headers: str) -> Answer:
    """All of it is promised; after `at` bytes nothing more comes."""

    def answer(handler):
        head(handler, 200, len(content), **headers)
        handler.wfile.write(content[:at])
        handler.wfile.flush()
        until.wait(PATIENCE_S)

    return answer


def ranged(content: bytes, etag: str, heeds_if_range: bool = True) -> Answer:
    """The range that was asked for, if the client's ETag still holds (RFC 9110); else all of it."""

    def answer(handler):
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if not asked or heeds_if_range and handler.headers.get("If-Range") != etag:
            return whole(content, ETag=etag)(handler)
        start = int(asked[1])
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        head(handler, 206, len(content) - start, ETag=etag, Content_Range=span)
        handler.wfile.write(content[start:])

    return answer


def refusing(code: int) -> Answer:
    """An error page."""

    def answer(handler):
        head(handler, code, 4)
        handler.wfile.write(b"sad.")

    return answer
