"""docs/pictures/overview.svg: from the home to the incident, and what is learned. `make docs` draws it.

All text is dark on a light box of its own and the arrows are a middle grey, so that it can be read on a white and on a
black page, whatever theme the reader's system claims. The frames have the figures' colour-blind-safe palette.
"""

from html import escape

WIDTH, HEIGHT, TOP, BOX_WIDTH, BOX_HEIGHT, GAP = 880, 150, 4, 148, 78, 35
BOXES = (
    ("home", "Home", "packets of", "every device", "#56b4e9"),
    ("flows", "Flows", "nine numbers", "each, no payload", "#56b4e9"),
    ("cnn", "CNN", "on the Pi: which", "attack, how likely", "#e69f00"),
    ("incident", "Incident", "who, what, when:", "not single alarms", "#d55e00"),
    ("learned", "Learned", "this home's", "normal traffic", "#009e73"),
)
"""Key, title, two lines below it, colour."""
STYLE = """text{font-family:system-ui,sans-serif;fill:#1f2328}.t{font-size:19px;font-weight:600}.s{font-size:13px}
.l{stroke:#7d8590;stroke-width:2;fill:none}.h{fill:#7d8590}.b{stroke-width:2}"""
DESCRIPTION = (
    "Packets of the home become flows, each flow is judged by the CNN, bursts of alarms become an incident, "
    "and what the home does in its first day is learned and goes back into the CNN."
)


def overview() -> str:
    """The picture as SVG text."""
    shapes = [box(number, *words) for number, (_, *words) in enumerate(BOXES)]
    shapes += [arrow(number) for number in range(len(BOXES) - 1)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="title desc">\n<title id="title">How TL-IDS works</title>\n'
        f'<desc id="desc">{escape(DESCRIPTION)}</desc>\n<style>{STYLE}</style>\n' + "\n".join([*shapes, way_back()])
    ) + "\n</svg>\n"


def left(number: int) -> int:
    """The x of a box's left side, in the picture's units."""
    return number * (BOX_WIDTH + GAP)


def box(number: int, title: str, first: str, second: str, colour: str) -> str:
    """A box with its title and two lines."""
    x, middle = left(number), left(number) + BOX_WIDTH // 2
    return (
        f'<rect class="b" x="{x + 1}" y="{TOP}" width="{BOX_WIDTH - 2}" height="{BOX_HEIGHT}" rx="8" '
        f'fill="#f6f8fa" stroke="{colour}"/>'
        f'<text class="t" x="{middle}" y="{TOP + 26}" text-anchor="middle">{escape(title)}</text>'
        f'<text class="s" x="{middle}" y="{TOP + 48}" text-anchor="middle">{escape(first)}</text>'
        f'<text class="s" x="{middle}" y="{TOP + 66}" text-anchor="middle">{escape(second)}</text>'
    )


def arrow(number: int) -> str:
    """From one box to the next."""
    start, y = left(number) + BOX_WIDTH + 3, TOP + BOX_HEIGHT // 2
    end = start + GAP - 6
    return f'<path class="l" d="M{start} {y}H{end - 8}"/><path class="h" d="M{end} {y}l-10 -6v12z"/>'


def way_back() -> str:
    """What was learned goes back into the CNN."""
    first, last, y = left(2) + BOX_WIDTH // 2, left(4) + BOX_WIDTH // 2, TOP + BOX_HEIGHT
    return (
        f'<path class="l" d="M{last} {y + 3}V{y + 34}H{first}V{y + 14}"/>'
        f'<path class="h" d="M{first} {y + 3}l-6 10h12z"/>'
        f'<rect x="{(first + last) // 2 - 150}" y="{y + 22}" width="300" height="25" rx="8" fill="#f6f8fa"/>'
        f'<text class="s" x="{(first + last) // 2}" y="{y + 39}" text-anchor="middle">'
        "its head is trained further, its blocks are not</text>"
    )
