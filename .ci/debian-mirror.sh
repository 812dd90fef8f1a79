#!/usr/bin/env bash
# Prints the Debian mirror that this machine installs from, whichever form its list of sources has.
set -euo pipefail
{ cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true; } |
  awk '/^URIs:/ {print $2; exit} /^deb / {for (i = 2; i <= NF; i++) if ($i ~ /^http/) {print $i; exit}}'
