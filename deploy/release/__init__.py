"""`make deploy`, `make rollback` and `make releases`: replace the live release on one machine."""
