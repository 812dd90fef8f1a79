#!/usr/bin/env bash
# Gives a bare Debian machine (root) a running Docker Engine with Compose and Buildx, from Debian's packages.
#
#   docker-engine.sh start   install what is missing, start dockerd and wait for it; nothing where an engine answers
#   docker-engine.sh stop    stop the dockerd that `start` started, and no other
#
# Debian 12 has neither Compose 2 nor Buildx, so these come from sid: unpacked beside the system, which is not upgraded.
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
  # What the engine runs on comes from this machine's own release ...
  apt-get install --quiet=2 --yes --no-install-recommends runc iptables iproute2 ca-certificates >/dev/null
  # ... and the engine, which needs no newer library than this release has, from sid.
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
  # A daemon that was killed leaves its pid file, and the next one takes another process's number for its own.
  for file in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
    if [[ -f $file ]] && ! readlink "/proc/$(cat "$file")/exe" | grep -q -e dockerd -e containerd; then rm -f "$file"; fi
  done
  mkdir -p "$state"
  # The pools of a default engine hold thirty networks; less, where the machine's own are among them.
  setsid nohup dockerd --default-address-pool base=172.16.0.0/12,size=24 >"$state/dockerd.log" 2>&1 </dev/null &
  echo $! >"$state/dockerd.pid"
  for _ in $(seq 120); do
    if answers; then return; fi
    sleep 0.5
  done
  tail -n 20 "$state/dockerd.log" >&2
  echo "docker-engine: dockerd did not answer within 60 s; above, the end of its log" >&2
  exit 1
}

stop() {
  [[ -f $state/dockerd.pid ]] || return 0
  local pid
  pid=$(cat "$state/dockerd.pid")
  rm -f "$state/dockerd.pid"
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 60); do
    [[ -e /proc/$pid/exe ]] || return 0  # a zombie has a number still, and no program
    sleep 0.5
  done
  echo "docker-engine: dockerd, process $pid, did not stop within 30 s" >&2
  exit 1
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *) echo "usage: $0 start|stop" >&2; exit 2 ;;
esac
