"""Numbers and tables for a terminal."""

from collections.abc import Sequence


def figure(value: float) -> str:
    """Return the number with three significant digits, and all digits before its decimal point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004


def padded(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return each row as a line, with the cells aligned in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
