"""The load test: what users do, what must hold, and which of two stacks does it better."""
