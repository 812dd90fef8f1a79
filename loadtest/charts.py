"""Charts as SVG, small enough to stand in a page: lines over time, and the measurements of a comparison as dots.

Colours are the page's own, by class, so that a chart is light or dark with it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from math import floor, log10
from statistics import median

from markupsafe import Markup

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 400, 200, 48, 24, 12  # small: a phone is no wider

Series = Mapping[str, Sequence[tuple[float, float]]]


def lines(series: Series, unit: str) -> Markup:
    """Return a line for each series over a common axis, from 0 to the highest."""
    points = [point for each in series.values() for point in each]
    most_x = max((x for x, _ in points), default=1) or 1
    ticks = scale(max((y for _, y in points), default=1))

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x / most_x * (WIDTH - LEFT - 8), HEIGHT - BOTTOM - y / ticks[-1] * (HEIGHT - BOTTOM - TOP - 16)

    parts = [*grid(ticks, place)]
    for number, (name, each) in enumerate(series.items()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in each))
        parts.append(f'<polyline class="c{number}" points="{path}"/>')
        parts.append(f'<text class="t{number}" x="{LEFT + 90 * number}" y="{TOP}">{escape(name)}</text>')
    parts.append(f'<text x="{WIDTH - 8}" y="{HEIGHT - 6}" text-anchor="end">{most_x:.0f} {unit}</text>')
    return svg(HEIGHT, parts, ", ".join(series))


def grid(ticks: Sequence[float], place: Callable[[float, float], tuple[float, float]]) -> Iterator[str]:
    """Yield a line and a number for each tick."""
    for tick in ticks:
        _, y = place(0, tick)
        yield f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'


def scale(most: float) -> list[float]:
    """Return three to six round numbers from 0 to `most` or a little more."""
    step = 10.0 ** floor(log10(most)) if most > 0 else 1.0
    step = next(size for size in (step / 2, step, step * 2) if most / size <= 5)  # noqa: PLR2004
    return [step * number for number in range(int(-(-most // step)) + 1)] if most > 0 else [0.0, 1.0]


def dots(series: Mapping[str, Sequence[float]]) -> Markup:
    """Return a bar for each series, as long as its median, and every measurement as a dot on it."""
    row = 44
    most = max((value for each in series.values() for value in each), default=1) or 1

    def place(value: float) -> float:
        return value / most * (WIDTH - 8) + 4

    parts = []
    for number, (name, values) in enumerate(series.items()):
        y = row * number
        middle = median(values)
        parts.append(f'<text x="4" y="{y + 14}">{escape(name)}</text>')
        parts.append(f'<text class="n" x="{WIDTH - 4}" y="{y + 14}" text-anchor="end">{short(middle)}</text>')
        parts.append(f'<rect class="b{number}" x="4" y="{y + 20}" width="{place(middle) - 4:.1f}" height="16" rx="3"/>')
        parts += [f'<circle class="d{number}" cx="{place(value):.1f}" cy="{y + 28}" r="3"/>' for value in values]
    return svg(row * len(series), parts, ", ".join(series))


def short(value: float) -> str:
    """Return three digits of the number, or all of one that has more before its point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004


def svg(height: float, parts: list[str], label: str) -> Markup:
    """Return the drawing."""
    return Markup(  # noqa: S704 (each part is ours, and what is not is escaped)
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


STYLE = """
svg { color: #1c2430; font: 13px system-ui, sans-serif; }
svg { --c0: #1763b6; --c1: #b4460f; --c2: #2b7a3d; --c3: #7a3fa0; }
@media (prefers-color-scheme: dark) {
  svg { color: #e6e9ee; --c0: #6fb1ff; --c1: #ff9d6b; --c2: #7fd491; --c3: #cf9ef0; }
}
text { fill: currentColor; } .h, .n { font-weight: 600; } rect { opacity: .35; }
"""


def picture(drawings: Mapping[str, str]) -> str:
    """Return one SVG file of its own with the drawings below each other, each with its title."""
    parts, y = [], 0.0
    for title, drawing in drawings.items():
        height = float(drawing.split('"')[1].split()[3])  # of its viewBox
        parts.append(f'<text class="h" x="4" y="{y + 22:.0f}">{escape(title)}</text>')
        # As a string: a Markup's own replace() would quote the new text.
        parts.append(str(drawing).replace("<svg ", f'<svg y="{y + 30:.0f}" width="{WIDTH}" height="{height:.0f}" ', 1))
        y += height + 46
    colours = "".join(f".b{number}, .d{number} {{ fill: var(--c{number}); }}\n" for number in range(4))
    start = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0f}">'
    return f"{start}<style>{STYLE}{colours}</style>{''.join(parts)}</svg>\n"
