#!/usr/bin/env bash
# Provides the base images: pulls them or, without a registry, builds stand-ins from Debian packages.
#
# The stand-ins have the names, versions, users and entrypoints of the public images. They also have this machine's
# certificate bundle, so that pip works in them behind a TLS-inspecting proxy.
set -euo pipefail
cd "$(dirname "$0")"

mirror=$(./debian-mirror.sh)

# Succeeds if the image exists or can be pulled.
have() {
  docker image inspect "$1" >/dev/null 2>&1 || timeout 300 docker pull --quiet "$1" >/dev/null 2>&1
}

debian() {
  have debian:trixie-slim && return
  echo "base-images: building a stand-in for debian:trixie-slim"
  local work
  work=$(mktemp --directory)
  command -v debootstrap >/dev/null || apt-get install --quiet=2 --yes --no-install-recommends debootstrap >/dev/null
  debootstrap --variant=minbase --include=ca-certificates trixie "$work" "$mirror" >/dev/null
  cp /etc/ssl/certs/ca-certificates.crt "$work/etc/ssl/certs/"
  rm -rf "$work"/var/{cache/apt,lib/apt/lists,log}/* "$work"/usr/share/{doc,man,locale}/*
  tar --directory "$work" --create . | docker import --change 'CMD ["bash"]' - debian:trixie-slim >/dev/null
  rm -rf "$work"
}

stand_in() {
  debian
  echo "base-images: building a stand-in for $2"
  docker build --quiet --target "$1" --tag "$2" --build-arg "MIRROR=$mirror" base-images >/dev/null
}

# The base images of the Dockerfile.
for target in python nginx; do
  image=$(sed -n "s/^ARG ${target^^}_IMAGE=//p" ../Dockerfile)
  have "$image" && continue
  stand_in "$target" "$image"
done

# begin postgres
# The database of deploy/postgres.
image=$(sed -n 's/^ *image: \(postgres:.*\)/\1/p' ../deploy/postgres/postgres.yml)
have "$image" || stand_in postgres "$image"
# end postgres

# begin monitoring
# The programs of deploy/monitoring: prom/prometheus:v1 is the target `prometheus`.
mapfile -t images < <(sed -n 's/^ *image: //p' ../deploy/monitoring/monitoring.yml)
for image in "${images[@]}"; do
  target=${image##*/}
  have "$image" || stand_in "${target%:*}" "$image"
done
# end monitoring

# The images of the tests' clusters (tests/engines.py, tests/swarm/cluster.py).
have docker:dind || stand_in dind docker:dind
have registry:3 || stand_in registry registry:3
