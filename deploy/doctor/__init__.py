"""`make doctor`: check that this machine and these settings can run the site."""
