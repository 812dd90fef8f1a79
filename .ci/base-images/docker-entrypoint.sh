#!/bin/sh
# Substitutes the environment variables that match the filter in the templates, as the public image's entrypoint does.
set -eu
if [ "${1:-}" = nginx ]; then
  output=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
  # shellcheck disable=SC2016 # envsubst takes names in the form ${NAME}
  names=$(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p' | grep -E "${NGINX_ENVSUBST_FILTER:-}" | sed 's/.*/${&}/' | tr '\n' ' ')
  for template in /etc/nginx/templates/*.template; do
    # shellcheck disable=SC2094 # input and output are different files
    envsubst "$names" <"$template" >"$output/$(basename "$template" .template)"
  done
fi
exec "$@"
