"""The load test: user classes, objectives and a report; compare/ compares two stacks."""
