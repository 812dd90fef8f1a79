#!/usr/bin/env bash
# Sees to it that the base images are here: found, pulled, or, where no registry answers, built from Debian's packages.
#
# The stand-ins have the same names, versions, users and entrypoints as the public ones, and this machine's own
# certificate bundle, so that pip works in them behind an inspecting proxy.
set -euo pipefail
cd "$(dirname "$0")"

mirror=$(./debian-mirror.sh)

# Whether the image is here, or can be had from a registry.
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

# The images as the Dockerfile names them, each built where it cannot be had.
for target in python nginx; do
  image=$(sed -n "s/^ARG ${target^^}_IMAGE=//p" ../Dockerfile)
  have "$image" && continue
  stand_in "$target" "$image"
done

# Those that the tests name, for a cluster (tests/engines.py, tests/swarm/cluster.py).
have docker:dind || stand_in dind docker:dind
have registry:3 || stand_in registry registry:3
