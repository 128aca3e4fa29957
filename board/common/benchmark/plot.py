# SPDX-License-Identifier: GPL-2.0-only
"""A plot with two logarithmic axes, as SVG.

It is written here because it is all that is plotted, and takes less than installing a library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 76, 168, 48, 56

# Okabe and Ito's colours, which colour-blind readers tell apart; dashes for those who print.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("", "8 3", "2 3", "8 3 2 3", "4 2", "12 4", "1 2")

STYLE = """\
text { font: 13px sans-serif; fill: #222 }
.title { font-size: 15px; font-weight: bold }
.grid { stroke: #ddd }
.line { fill: none; stroke-width: 2 }"""


@dataclass(frozen=True)
class Line:
    """A line of the plot, with a name; its points are above zero on both axes."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """A range of powers of a base, and the pixels that it is spread over."""

    base: int
    first: int
    last: int
    start: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], base: int, start: float, end: float) -> Axis:
        # A hair's breadth, so that a power of the base is not taken for a bit more or less.
        first = math.floor(math.log(min(values), base) + 1e-9)
        last = math.ceil(math.log(max(values), base) - 1e-9)
        return cls(base, first, max(last, first + 1), start, end)

    def __call__(self, value: float) -> float:
        share = (math.log(value, self.base) - self.first) / (self.last - self.first)
        return self.start + share * (self.end - self.start)

    def ticks(self, step: int = 1) -> Iterator[float]:
        return (float(self.base) ** power for power in range(self.first, self.last + 1, step))


def text(x: float, y: float, words: str, **attributes: str) -> str:
    """Text at a place. An underscore in an attribute's name stands for a dash, or nothing."""
    given = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    listed = "".join(f' {name}="{value}"' for name, value in given.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{listed}>{escape(words)}</text>'


def log_log(
    title: str,
    x_label: str,
    y_label: str,
    lines: Sequence[Line],
    x_name: Callable[[float], str] = "{:g}".format,
    y_name: Callable[[float], str] = "{:g}".format,
) -> str:
    """Draw lines over powers of two, in powers of ten; the names are those of the ticks."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    x_axis = Axis.around(xs, 2, LEFT, right)
    y_axis = Axis.around(ys, 10, bottom, TOP)

    def grid() -> Iterator[str]:
        for x in x_axis.ticks(2):
            at = x_axis(x)
            yield f'<path class="grid" d="M{at:.1f} {TOP}V{bottom}"/>'
            yield text(at, bottom + 18, x_name(x), text_anchor="middle")
        for y in y_axis.ticks():
            at = y_axis(y)
            yield f'<path class="grid" d="M{LEFT} {at:.1f}H{right}"/>'
            yield text(LEFT - 8, at + 4, y_name(y), text_anchor="end")

    def curve(index: int, line: Line) -> Iterator[str]:
        colour, dash = COLOURS[index % len(COLOURS)], DASHES[index % len(DASHES)]
        places = [(x_axis(x), y_axis(y)) for x, y in sorted(line.points)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        drawn = f'class="line" stroke="{colour}" stroke-dasharray="{dash or "none"}"'
        yield f'<path {drawn} d="M{path}"/>'
        for x, y in places:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
        at = TOP + 10 + 22 * index
        yield f'<path {drawn} d="M{right + 14} {at}h28"/>'
        yield text(right + 48, at + 4, line.name)

    middle = (TOP + bottom) / 2
    parts = [
        text(LEFT, 26, title, class_="title"),
        *grid(),
        text((LEFT + right) / 2, HEIGHT - 14, x_label, text_anchor="middle"),
        text(18, middle, y_label, text_anchor="middle", transform=f"rotate(-90 18 {middle:.1f})"),
        *(part for index, line in enumerate(lines) for part in curve(index, line)),
    ]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
        "<!-- SPDX-License-Identifier: GPL-2.0-only -->",
        f"<title>{escape(title)}</title>",
        f"<style>\n{STYLE}\n</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *parts,
        "</svg>\n",
    ])
