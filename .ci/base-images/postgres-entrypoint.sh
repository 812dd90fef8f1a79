#!/bin/sh
# Creates the database POSTGRES_DB of POSTGRES_USER at the first start, as the public image's entrypoint does for trust.
set -eu
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username="$POSTGRES_USER" --auth="$POSTGRES_HOST_AUTH_METHOD"
  pg_ctl --wait --options="-c listen_addresses=''" start
  createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl --wait --mode=fast stop
fi
exec "$@"
