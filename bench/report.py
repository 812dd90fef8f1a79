"""How the bench prints figures, and holds them to their aims."""

from collections.abc import Sequence
from statistics import median


def spread(figures: Sequence[float]) -> str:
    """Return the median, minimum and maximum as text."""
    return f"{median(figures):8,.1f} ({min(figures):,.1f} to {max(figures):,.1f})"


def ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the ratios of each round."""
    return median(one / other for one, other in zip(ones, others, strict=True))


def verdict(what: str, figure: float, *, least: float | None = None, most: float | None = None) -> None:
    """Print whether a ratio meets its aim."""
    is_met = figure >= least if least is not None else most is not None and figure <= most
    aim = f"at least {least}" if least is not None else f"at most {most}"
    print(f"  {'met   ' if is_met else 'missed'}  {what}: {figure:.2f} (aim: {aim})")
