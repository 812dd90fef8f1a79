"""`make compare`: measure two complete stacks in turns, of two backends, settings or releases."""
