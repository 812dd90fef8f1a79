"""`make local` and `make dev`: the stack as plain processes, without Docker."""
