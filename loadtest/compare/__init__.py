"""`make compare`: two whole stacks, each on its own, measured in turns: two backends, two settings or two releases."""
