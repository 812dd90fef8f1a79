"""Everything besides app/ in the app's image: the launcher, the WSGI wrapper, the servers' configuration."""
