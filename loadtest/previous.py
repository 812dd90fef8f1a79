"""The run before this one, from its report.json."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.objectives import Recorded, Route


@dataclass(frozen=True)
class Previous:
    """The figures of an earlier run."""

    verdict: str
    measured: dict[str, Any]
    settings: dict[str, Any]
    recorded: Recorded

    @classmethod
    def read(cls, file: Path) -> "Previous | None":
        """Return the run of the report; None without one, or for one of another version."""
        try:
            found = json.loads(file.read_text())
            routes = {
                name: Route(
                    each["requests"], each["failures"], Counter({float(time): n for time, n in each["times"].items()})
                )
                for name, each in found["routes"].items()
            }
            recorded = Recorded(found["measured"]["seconds"], routes)
            return cls(found["verdict"], found["measured"], found["settings"], recorded)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    def differences(self, settings: dict[str, Any]) -> list[str]:
        """Return the names of the settings that differ from these."""
        return [name for name, value in settings.items() if self.settings.get(name) != value]
