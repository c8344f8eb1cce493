"""Pages, pictures and downloads of believable sizes, the same for the same name."""

import random

# path -> size in bytes and content type, as a small dashboard ships them
ASSETS = {
    "/static/style.css": (7_400, "text/css"),
    "/static/app.js": (38_200, "text/javascript"),
    "/static/chart.js": (96_000, "text/javascript"),
    "/static/logo.svg": (2_900, "image/svg+xml"),
    "/static/icon-alarm.png": (1_150, "image/png"),
    "/static/icon-light.png": (980, "image/png"),
    "/static/font.woff2": (21_500, "font/woff2"),
}
# page -> the assets it asks for
PAGES = {
    "/": ("/static/style.css", "/static/app.js", "/static/logo.svg", "/static/icon-alarm.png", "/static/font.woff2"),
    "/rooms": ("/static/style.css", "/static/app.js", "/static/icon-light.png", "/camera/hall.jpg"),
    "/history": ("/static/style.css", "/static/app.js", "/static/chart.js", "/api/history?sensor=temperature"),
    "/settings": ("/static/style.css", "/static/app.js", "/static/logo.svg"),
}
WORDS = (
    "alarm battery bedroom board bulb dashboard degree device dimmer door error filter garden hall home humidity "
    "kitchen lamp level light motion network night panel power relay room schedule sensor server smoke status switch "
    "temperature threshold update user valve window"
).split()


def text(name: str, size: int) -> bytes:
    """Words, as compressible as a page or a script is."""
    draw = random.Random(name)
    words = []
    while sum(map(len, words)) + len(words) < size:
        words += draw.choices(WORDS, k=200)
    return " ".join(words).encode()[:size]


def picture(name: str, size: int) -> bytes:
    """Bytes that do not compress, as in a picture or a firmware image."""
    return random.Random(name).randbytes(size)


def asset(path: str) -> tuple[bytes, str]:
    """The content of a static file and its type.

    Raises:
        KeyError: there is no such file.
    """
    size, kind = ASSETS[path]
    return (text if kind.startswith("text/") or "svg" in kind else picture)(path, size), kind


def page(path: str, state: dict) -> bytes:
    """An HTML page that names its assets and shows a state."""
    rows = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in sorted(state.items()))
    links = "".join(f'<script src="{link}"></script>' for link in PAGES[path])
    filler = text(path, 1500 + 700 * len(path)).decode()
    head = f"<!doctype html><html><head><title>Home {path}</title>{links}</head>"
    return f"{head}<body><table>{rows}</table><p>{filler}</p></body></html>".encode()
