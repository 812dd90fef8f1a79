#!/usr/bin/env bash
# The hook of an ACME client: install the new certificate and reload nginx, without losing a request.
# certbot: --deploy-hook deploy/tls/renewed.sh    lego: run --run-hook, renew --renew-hook deploy/tls/renewed.sh
set -euo pipefail

chain=${LEGO_CERT_PATH:-${RENEWED_LINEAGE:-}/fullchain.pem}
key=${LEGO_CERT_KEY_PATH:-${RENEWED_LINEAGE:-}/privkey.pem}
if [[ ! -r $chain || ! -r $key ]]; then
  echo "renewed: no certificate at '$chain': run this as a hook of certbot or lego" >&2
  exit 1
fi
chain=$(realpath "$chain") key=$(realpath "$key")
cd "$(dirname "$0")/../.."

# Only nginx, user 101 in its container, may read the key. mv replaces each file atomically.
install -D -m 644 "$chain" deploy/tls/certs/.fullchain.pem
install -D -o 101 -m 400 "$key" deploy/tls/certs/.privkey.pem
mv deploy/tls/certs/.privkey.pem deploy/tls/certs/privkey.pem
mv deploy/tls/certs/.fullchain.pem deploy/tls/certs/fullchain.pem
docker compose exec --no-TTY nginx /srv/nginx/control.sh reload
