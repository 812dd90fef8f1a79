#!/usr/bin/env bash
# Prints the URL of this machine's Debian mirror, from either format of its sources list.
set -euo pipefail
{ cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true; } |
  awk '/^URIs:/ {print $2; exit} /^deb / {for (i = 2; i <= NF; i++) if ($i ~ /^http/) {print $i; exit}}'
