"""Tools that watch a running site: its logs, its metrics and its alerts."""
