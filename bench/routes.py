"""`make bench-process`: measure a route look-up in tables of 10, 10,000 and 100,000 routes. The time must not grow."""

from statistics import median
from time import perf_counter_ns

from app.router import router
from bench.report import ratio, verdict

COUNTS = (10, 10_000, 100_000)
MOST = 1.5  # times the look-up among ten routes: a larger table fits worse into the processor's cache


def handler(environ: object, start_response: object) -> list[bytes]:
    """Return an empty body, because only the look-up is measured."""
    return []


def main() -> None:
    """Measure a path without parameters and one with two, and print the table."""
    print("Time of a look-up by number of routes, medians")
    rounds, calls = 30, 2000
    tables = {}
    for count in COUNTS:
        table = {f"/static{number}/page": handler for number in range(count // 2)}
        table |= {f"/users{number}/{{user}}/posts/{{post}}": handler for number in range(count // 2)}
        tables[count] = router(table)
    for kind, path in {"static": "/static3/page", "parameters": "/users3/7/posts/9"}.items():
        times: dict[int, list[float]] = {count: [] for count in tables}
        for _ in range(rounds):
            for count, application in tables.items():
                began = perf_counter_ns()
                for _ in range(calls):
                    application({"PATH_INFO": path}, None)  # type: ignore[arg-type]
                times[count].append((perf_counter_ns() - began) / calls)
        row = "  ".join(f"{count:>7,}: {median(each) / 1000:5.2f} µs" for count, each in times.items())
        print(f"  {kind:<12}{row}")
        verdict(f"{kind}: look-up among 10,000 routes / among 10", ratio(times[10_000], times[10]), most=MOST)


if __name__ == "__main__":
    main()
