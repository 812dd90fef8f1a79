"""supervisord, which also ends, with an error, if a process does not start.

    python -m deploy.local.supervise --configuration FILE

Before the site has answered for the first time, a process that exits does not start. Later, supervisord restarts it.
"""
# pyright: reportMissingTypeStubs=none, reportUnknownMemberType=none, reportAttributeAccessIssue=none

import os
import sys
from contextlib import suppress
from pathlib import Path

from supervisor import events
from supervisor.medusa import asyncore_25 as asyncore
from supervisor.options import ServerOptions
from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor

READY = "ready"  # watch.py makes this file when the site answers


class Manager(Supervisor):  # type: ignore[misc] # supervisor has no types
    """supervisord's event loop, with the name of the process that did not start."""

    failed = ""

    def runforever(self) -> None:
        """Run until a signal, or until a process does not start."""
        for kind in (events.ProcessStateBackoffEvent, events.ProcessStateExitedEvent, events.ProcessStateFatalEvent):
            events.subscribe(kind, self.exited)
        super().runforever()

    def exited(self, event: events.ProcessStateEvent) -> None:
        """Stop all processes gracefully if this one did not start."""
        is_ready = Path(os.environ["RUN_DIR"], READY).exists()
        if not is_ready or isinstance(event, events.ProcessStateFatalEvent):
            self.failed = self.failed or event.process.config.name
            self.options.mood = SupervisorStates.SHUTDOWN


def main() -> None:
    """Run the processes; exit with one sentence if one of them does not start."""
    options = ServerOptions()
    options.realize(sys.argv[1:])
    options.first, options.test = True, False
    manager = Manager(options)
    with suppress(asyncore.ExitNow):
        manager.main()
    if manager.failed:
        sys.exit(f"local: {manager.failed} does not start: it has printed the reason above")


if __name__ == "__main__":
    main()
