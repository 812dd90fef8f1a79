"""How the application runs: the launcher, its servers' configuration, the socket that is live."""
