#!/usr/bin/env bash
# Gives a bare Debian machine (root) a running Docker Engine with Compose and Buildx, from Debian's packages.
#
#   docker-engine.sh start   install missing packages, start dockerd and wait for it; no effect if an engine is running
#   docker-engine.sh stop    stop the dockerd that `start` started
#
# Debian 12 has neither Compose 2 nor Buildx. They are unpacked from sid's packages, without upgrading the system.
set -euo pipefail

state=/var/lib/wsgi-starter-ci
packages=(docker.io docker-cli containerd docker-compose docker-buildx tini-static)

answers() { docker info >/dev/null 2>&1; }

installed() {
  command -v dockerd >/dev/null && docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1
}

install_engine() {
  export DEBIAN_FRONTEND=noninteractive
  local apt=$state/apt mirror
  mirror=$("$(dirname "$0")/debian-mirror.sh")
  apt-get update --quiet=2
  # The engine's dependencies come from this machine's Debian release.
  apt-get install --quiet=2 --yes --no-install-recommends runc iptables iproute2 ca-certificates >/dev/null
  # The engine comes from sid. It needs no newer libraries.
  mkdir -p "$apt"/{lists/partial,cache/archives/partial,packages}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg check-valid-until=no] $mirror sid main" >"$apt/sources.list"
  local sid=(-o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache" -o APT::Sandbox::User=root)
  apt-get "${sid[@]}" update --quiet=2
  (cd "$apt/packages" && rm -f -- *.deb && apt-get "${sid[@]}" download --quiet=2 "${packages[@]}" >/dev/null)
  for package in "$apt"/packages/*.deb; do dpkg --extract "$package" "$state/root"; done

  local root=$state/root
  install "$root"/usr/bin/{containerd,containerd-shim-runc-v2} "$root/usr/sbin/dockerd" /usr/local/sbin/
  install "$(find "$root" -type f -name docker-proxy)" /usr/local/sbin/docker-proxy
  install "$(find "$root" -type f -name tini-static)" /usr/local/sbin/docker-init
  command -v docker >/dev/null || install "$root/usr/bin/docker" /usr/local/bin/
  mkdir -p /usr/local/lib/docker/cli-plugins
  install "$root"/usr/libexec/docker/cli-plugins/* /usr/local/lib/docker/cli-plugins/
}

start() {
  if answers && installed; then return; fi
  installed || install_engine
  if answers; then return; fi
  # A killed daemon leaves its pid file, and the next daemon refuses to start if another process has that pid.
  for file in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
    if [[ -f $file ]] && ! readlink "/proc/$(cat "$file")/exe" | grep -q -e dockerd -e containerd; then rm -f "$file"; fi
  done
  mkdir -p "$state"
  # An engine's default pools are enough for only thirty networks.
  setsid nohup dockerd --default-address-pool base=172.16.0.0/12,size=24 >"$state/dockerd.log" 2>&1 </dev/null &
  echo $! >"$state/dockerd.pid"
  for _ in $(seq 120); do
    if answers; then return; fi
    sleep 0.5
  done
  tail -n 20 "$state/dockerd.log" >&2
  echo "docker-engine: dockerd did not start within 60 s: see the end of its log above" >&2
  exit 1
}

stop() {
  [[ -f $state/dockerd.pid ]] || return 0
  local pid
  pid=$(cat "$state/dockerd.pid")
  rm -f "$state/dockerd.pid"
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 60); do
    [[ -e /proc/$pid/exe ]] || return 0  # a zombie has no exe
    sleep 0.5
  done
  echo "docker-engine: dockerd (process $pid) did not stop within 30 s" >&2
  exit 1
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *) echo "usage: $0 start|stop" >&2; exit 2 ;;
esac
