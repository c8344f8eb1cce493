"""docs/pictures/overview.svg, and overview-narrow.svg for a phone: from the home to the incident, and what is learned.

`make docs` draws both. All text is dark on a light box and the arrows are a middle grey, so that it can be read on a
white and on a black page, whatever theme the reader's system claims. The frames have the figures' colour-blind-safe
palette.
"""

from html import escape

HEIGHT, TOP, BOX_WIDTH, BOX_HEIGHT, GAP = 150, 4, 148, 78, 35
DOWN = 30  # from one box to the next where they stand below one another
BOXES = (
    ("home", "Home", "packets of", "every device", "#56b4e9"),
    ("flows", "Flows", "nine numbers", "each, no payload", "#56b4e9"),
    ("cnn", "CNN", "on the Pi: which", "attack, how likely", "#e69f00"),
    ("incident", "Incident", "many alarms,", "one report", "#d55e00"),
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
    """The picture as SVG text: the boxes side by side."""
    step = BOX_WIDTH + GAP
    shapes = [box(number * step, TOP, *words) for number, (_, *words) in enumerate(BOXES)]
    for number in range(1, len(BOXES)):
        end, y = number * step - 3, TOP + BOX_HEIGHT // 2
        shapes.append(arrow(f"M{end - GAP + 6} {y}H{end - 8}", f"M{end} {y}l-10 -6v12z"))
    first, last, y = (2 * step + BOX_WIDTH // 2, 4 * step + BOX_WIDTH // 2, TOP + BOX_HEIGHT)
    shapes.append(arrow(f"M{last} {y + 3}V{y + 34}H{first}V{y + 14}", f"M{first} {y + 3}l-6 10h12z"))
    shapes.append(note((first + last) // 2, y + 22, "its last layers are trained on this home"))
    return drawing(step * len(BOXES) - GAP, HEIGHT, shapes)


def narrow() -> str:
    """The picture as SVG text, the boxes below one another: for a page of a phone's width."""
    step, width = BOX_HEIGHT + DOWN, BOX_WIDTH + 152
    shapes = [box(0, TOP + number * step, *words) for number, (_, *words) in enumerate(BOXES)]
    middle = BOX_WIDTH // 2
    for number in range(1, len(BOXES)):
        end = TOP + number * step - 3
        shapes.append(arrow(f"M{middle} {end - DOWN + 6}V{end - 8}", f"M{middle} {end}l-6 -10h12z"))
    cnn, learned = (TOP + number * step + BOX_HEIGHT // 2 for number in (2, 4))
    right = BOX_WIDTH + 3
    shapes.append(arrow(f"M{right} {learned}H{right + 72}V{cnn}H{right + 10}", f"M{right} {cnn}l10 -6v12z"))
    for line, words in enumerate(("its last layers", "are trained", "on this home")):
        shapes.append(note(right + 74, (cnn + learned) // 2 - 36 + 24 * line, words, 140))
    return drawing(width, step * len(BOXES) - DOWN + 2 * TOP, shapes)


def drawing(width: int, height: int, shapes: list[str]) -> str:
    """Shapes as an SVG with its title and description."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="title desc">\n<title id="title">How TL-IDS works</title>\n'
        f'<desc id="desc">{escape(DESCRIPTION)}</desc>\n<style>{STYLE}</style>\n' + "\n".join(shapes)
    ) + "\n</svg>\n"


def box(x: int, y: int, title: str, first: str, second: str, colour: str) -> str:
    """A box with its title and two lines; x and y are its left upper corner, in the picture's units."""
    middle = x + BOX_WIDTH // 2
    return (
        f'<rect class="b" x="{x + 1}" y="{y}" width="{BOX_WIDTH - 2}" height="{BOX_HEIGHT}" rx="8" '
        f'fill="#f6f8fa" stroke="{colour}"/>'
        f'<text class="t" x="{middle}" y="{y + 26}" text-anchor="middle">{escape(title)}</text>'
        f'<text class="s" x="{middle}" y="{y + 48}" text-anchor="middle">{escape(first)}</text>'
        f'<text class="s" x="{middle}" y="{y + 66}" text-anchor="middle">{escape(second)}</text>'
    )


def arrow(line: str, head: str) -> str:
    """A line and its head, as SVG paths."""
    return f'<path class="l" d="{line}"/><path class="h" d="{head}"/>'


def note(middle: int, y: int, words: str, width: int = 300) -> str:
    """Words on a light ground, centred; y is its upper side."""
    return (
        f'<rect x="{middle - width // 2}" y="{y}" width="{width}" height="25" rx="8" fill="#f6f8fa"/>'
        f'<text class="s" x="{middle}" y="{y + 17}" text-anchor="middle">{escape(words)}</text>'
    )
