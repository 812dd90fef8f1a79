#!/usr/bin/env bash
# What an ACME client runs when it has a new certificate: puts it where nginx looks, and has nginx take it, without losing
# a request.  certbot: --deploy-hook deploy/tls/renewed.sh    lego: run --run-hook, renew --renew-hook deploy/tls/renewed.sh
set -euo pipefail

chain=${LEGO_CERT_PATH:-${RENEWED_LINEAGE:-}/fullchain.pem}
key=${LEGO_CERT_KEY_PATH:-${RENEWED_LINEAGE:-}/privkey.pem}
if [[ ! -r $chain || ! -r $key ]]; then
  echo "renewed: no certificate at $chain: run this as certbot's or lego's hook" >&2
  exit 1
fi
chain=$(realpath "$chain") key=$(realpath "$key")
cd "$(dirname "$0")/../.."

# nginx is user 101 in its container, and the only one who is to read the key. Each replaces its predecessor at once.
install -D -m 644 "$chain" deploy/tls/certs/.fullchain.pem
install -D -o 101 -m 400 "$key" deploy/tls/certs/.privkey.pem
mv deploy/tls/certs/.privkey.pem deploy/tls/certs/privkey.pem
mv deploy/tls/certs/.fullchain.pem deploy/tls/certs/fullchain.pem
docker compose exec --no-TTY nginx /srv/nginx/control.sh reload
