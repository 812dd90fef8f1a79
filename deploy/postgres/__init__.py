"""`make backup` and `make restore`: PostgreSQL beside the app (postgres.yml). Removable."""
