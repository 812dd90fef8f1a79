#!/usr/bin/env bash
# Installs the Debian packages that make targets need. Arguments: venv, nginx, headers (to build uWSGI), apache (to build
# and run mod_wsgi), or a command with the name of its Debian package. It uses apt if it is root or sudo needs no
# password. Otherwise it prints the names of the packages.
set -euo pipefail

python=${PYTHON:-python3}

has() {
  case $1 in
    venv) "$python" -c 'import ensurepip, venv' ;;
    headers) command -v cc && test -e "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ;;
    nginx | sshd) PATH=$PATH:/usr/sbin command -v "$1" ;;
    apache) PATH=$PATH:/usr/sbin command -v apache2 && command -v apxs ;;
    *) command -v "$1" ;;
  esac >/dev/null 2>&1
}

packages() {
  local version
  version=$("$python" -c 'import sys; print("python{}.{}".format(*sys.version_info))')
  case $1 in
    venv) echo "$version-venv" ;;
    headers) echo "$version-dev gcc libc6-dev" ;;
    nginx) echo nginx-light ;;
    sshd) echo openssh-server openssh-client ;;
    apache) echo apache2-bin apache2-dev ;;
    *) echo "$1" ;;
  esac
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "$python is not Python 3.11 or newer: install one and select it, for example with PYTHON=python3.12 make ..." >&2
  exit 1
fi

missing=()
for need in "$@"; do
  has "$need" || read -ra missing <<<"${missing[*]:-} $(packages "$need")"
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
[[ $EUID -eq 0 ]] || as_root=(sudo --non-interactive)
if ! command -v apt-get >/dev/null || { [[ $EUID -ne 0 ]] && ! sudo --non-interactive true 2>/dev/null; }; then
  echo "Missing packages (Debian names): ${missing[*]}. Install them with your system's package manager and try again." >&2
  exit 1
fi
echo "Installing ${missing[*]} with apt-get"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update --quiet=2
"${as_root[@]}" apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}" >/dev/null

for need in "$@"; do
  has "$need" || { echo "${missing[*]} is installed, but '$need' is still not found: is $python Debian's own?" >&2; exit 1; }
done
