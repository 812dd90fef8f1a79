#!/bin/sh
# Starts nginx in its container, and changes its configuration while it serves.
#
#   control.sh configure PREFIX [NAME]   check the settings, and write nginx's configuration to PREFIX/NAME (conf)
#   control.sh start                     configure /run/nginx, and exec nginx
#   control.sh reload [-]                load the current configuration and certificates without losing a request; if nginx
#                                        refuses them, nothing changes (`make reload`). With -, standard input is a tar
#                                        archive of nginx/, for a container that cannot mount that folder
#   control.sh health                    fail unless nginx answers; print the site's address when it is ready
#
# Settings: .env.example. POSIX sh, because the image and Debian have no other shell in common.
set -euf  # f: a value such as * must not expand to file names

PREFIX=/run/nginx
# An address or a network: 10.0.0.0/8 (0 to 255, four times; 0 to 32), 2001:db8::/32 (0 to 128).
OCTET='(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
GROUP='[0-9a-fA-F]{1,4}'
ADDRESS="($OCTET\.){3}$OCTET(/(3[0-2]|[12]?[0-9]))?"
IPV6="($GROUP:){7}$GROUP|($GROUP:){1,6}:|($GROUP:){1,6}:$GROUP|($GROUP:){1,5}(:$GROUP){2}|($GROUP:){1,4}(:$GROUP){3}"
IPV6="$IPV6|($GROUP:){1,3}(:$GROUP){4}|($GROUP:){1,2}(:$GROUP){5}|$GROUP:(:$GROUP){6}|:(:$GROUP){1,7}|::"
ADDRESS="$ADDRESS|($IPV6)(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?"

refuse() {
  echo "nginx: $1 is '$2': it must be $3" >&2
  exit 78  # EX_CONFIG, like the app's launcher
}

# Refuse a value unless the extended regular expression matches all of it: NAME VALUE REGEX WORDS.
check() {
  if [ "$(printf '%s\n' "$2" | wc -l)" -gt 1 ] || ! printf '%s\n' "$2" | grep -qxE "$3"; then refuse "$1" "$2" "$4"; fi
}

# Print the settings as directives of nginx's http block.
# shellcheck disable=SC2016 # the variables in single quotes are nginx's
settings() {
  echo "# Written by control.sh from the settings."
  echo "client_max_body_size $max_body_bytes;"

  # nginx trusts the address in X-Forwarded-For. With the PROXY protocol it trusts no header, because clients can set them.
  for proxy in $proxies; do echo "set_real_ip_from $proxy;"; done
  if [ "$proxy_protocol" = on ]; then echo "real_ip_header proxy_protocol;"; else echo "real_ip_header X-Forwarded-For;"; fi
  echo "real_ip_recursive on;"
  if [ "$proxy_protocol" = on ] || [ -z "$proxies" ]; then
    echo "include clients-direct.conf;"
  else
    echo 'geo $realip_remote_addr $is_trusted {' && echo "    default 0;"
    for proxy in $proxies; do echo "    $proxy 1;"; done
    echo "}"
    echo "include clients-proxied.conf;"
  fi
  for name in $identities; do
    echo "map \$is_trusted \$trusted_$(printf '%s' "$name" | tr - _) {"
    echo '    default "";' && echo "    1 \$http_$(printf '%s' "$name" | tr - _);" && echo "}"
  done

  if [ -z "$hosts" ]; then
    echo 'map "" $is_known_host {' && echo "    default 1;"
  else
    echo 'map $client_hostname $is_known_host {' && echo "    hostnames;" && echo "    default 0;"
    # The backslash: `default` and `include` are words of nginx's.
    for host in $hosts; do printf '    \\%s 1;\n' "$host"; done
  fi
  echo "}"

  if [ -n "$client_requests" ]; then
    echo 'limit_req_zone $binary_remote_addr zone=requests:10m rate='"${client_requests}r/s;"
    echo "limit_req zone=requests burst=$client_requests nodelay;"
    echo 'limit_conn_zone $binary_remote_addr zone=connections:10m;'
    echo "limit_conn connections $client_requests;"
  fi

  # begin monitoring
  if [ "$log_format" = text ]; then text_log; fi
  if [ "$status" = on ]; then echo "include status.conf;"; fi
  # end monitoring
  if [ "$https_port" = 443 ]; then suffix=; else suffix=":$https_port"; fi
  echo 'map "" $https_port {' && echo "    default \"$suffix\";" && echo "}"
  echo "include upstream-$upstream.conf;"
  if [ "$prefix" = "$PREFIX" ]; then echo "include container.conf;"; fi
  if [ "$tls" = off ] || [ -z "$obstacle" ]; then echo "include site.conf;"; fi
  if [ "$tls" = on ]; then echo "include redirect.conf;"; fi
}

# begin monitoring
# Print the formats of the access log for a terminal, with the status in colour. nginx escapes control characters in variables.
# shellcheck disable=SC2016 # the variables in single quotes are nginx's
text_log() {
  echo 'map $time_iso8601 $clock { "~T(?<clock_alone>[0-9:]+)" $clock_alone; }'
  for each in good:123:32 refused:4:33 failed:5:31; do
    name=${each%%:*}
    digits=${each#*:}
    echo "map \$is_logged\$status \$is_$name { default 0; ~^1[${digits%:*}] 1; }"
    printf 'log_format %s "$clock \033[%sm$status\033[0m $method $path ${request_time}s \033[2m$request_id\033[0m $error";\n' "$name" "${each##*:}"
  done
}

# Print the directives of a server for these formats.
text_log_of_server() {
  for name in good refused failed; do echo "access_log /dev/stdout $name if=\$is_$name;"; done
}

# end monitoring
# Print why nginx cannot serve HTTPS, or nothing.
certificate_error() {
  if [ ! -e "$prefix/certs/fullchain.pem" ]; then
    echo "certs/fullchain.pem does not exist"
  elif [ "$prefix" = "$PREFIX" ]; then
    {
      echo "pid certificate.pid; events {} http { access_log off;"
      for name in client_body proxy fastcgi uwsgi scgi; do echo "${name}_temp_path temp-certificate;"; done
      echo "server { listen unix:$prefix/certificate.sock; ssl_certificate certs/fullchain.pem; ssl_certificate_key certs/privkey.pem; } }"
    } >"$prefix/certificate.conf"
    nginx -t -q -p "$prefix/" -c certificate.conf -e stderr </dev/null 2>&1 | sed -n 's/.*\[emerg\] [0-9#]*:* *//p' | head -n 1
    rm -f "$prefix/certificate.sock"
  fi
}

# Check the settings, and write the configuration to the folder $1 of the prefix: these files, and files made from settings.
configure() {
  max_body_bytes=${MAX_BODY_BYTES:-1048576}
  check MAX_BODY_BYTES "$max_body_bytes" '[1-9][0-9]{0,9}' "a whole number of bytes"
  client_requests=${CLIENT_REQUESTS:-}
  check CLIENT_REQUESTS "$client_requests" '([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3})?' \
    "a whole number of requests a second, at most 64999, or empty for no limit"
  proxy_protocol=${PROXY_PROTOCOL:-off}
  check PROXY_PROTOCOL "$proxy_protocol" 'on|off' "on or off"
  tls=${NGINX_TLS:-off}
  check NGINX_TLS "$tls" 'on|off' "on or off"
  upstream=${NGINX_UPSTREAM:-socket}
  check NGINX_UPSTREAM "$upstream" 'socket|replicas' "socket or replicas"
  # begin monitoring
  log_format=${LOG_FORMAT:-auto}
  check LOG_FORMAT "$log_format" 'auto|json|text' "auto, json or text"
  status=${NGINX_STATUS:-off}
  check NGINX_STATUS "$status" 'on|off' "on or off"
  # end monitoring
  https_port=${HTTPS_PORT:-8443}
  check HTTPS_PORT "$https_port" '[1-9][0-9]{0,4}' "a port"
  # nginx refuses duplicates, and ignores case.
  hosts=$(printf '%s\n' "${ALLOWED_HOSTS:-}" | tr 'A-Z, ' 'a-z[\n*]' | sort -u)
  for host in $hosts; do
    check ALLOWED_HOSTS "$host" '(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]' "names such as example.org or *.example.org, with commas between them"
  done
  proxies=$(printf '%s\n' "${TRUSTED_PROXIES:-}" | tr -s ', ' '[\n*]')
  for proxy in $proxies; do
    check TRUSTED_PROXIES "$proxy" "$ADDRESS" "addresses or networks such as 10.0.0.0/8, with commas between them"
  done
  if [ "$proxy_protocol" = on ] && [ -z "$proxies" ]; then
    refuse TRUSTED_PROXIES "" "the address of the proxy that sends the PROXY protocol, because PROXY_PROTOCOL is on"
  fi

  mkdir -p "$prefix/$1" "$prefix/buffers"
  if [ "$status" = on ]; then mkdir -p "$prefix/status"; fi # only with monitoring
  room=$(df -Pk "$prefix/buffers" | awk 'END { printf "%.0f", $4 * 1024 }')
  [ "$max_body_bytes" -le "$room" ] || refuse MAX_BODY_BYTES "$max_body_bytes" "at most $room, the free bytes in $prefix/buffers"

  obstacle=
  if [ "$tls" = on ]; then obstacle=$(certificate_error); fi
  # docker-compose.yml mounts the working tree. After `umask 077; git clone` nginx's user cannot read it.
  if [ "$prefix" != "$PREFIX" ]; then
    :
  elif [ ! -d /srv/edited ]; then
    for copy in "$PREFIX/copy" "$PREFIX/copy.new"; do [ ! -d "$copy" ] || here=$copy; done
  elif [ -r /srv/edited/nginx.conf ]; then
    here=/srv/edited
  else
    echo "nginx: nginx/ cannot be read, so the image's copy is used: run chmod -R a+rX nginx" >&2
  fi
  identities=$(printf '%s\n' "${IDENTITY_HEADERS:-}" | tr 'A-Z, ' 'a-z[\n*]' | sort -u)
  for name in $identities; do
    if ! grep -qixF "proxy_set_header $name \"\";" "$here/identity.conf"; then
      refuse IDENTITY_HEADERS "$name" "headers that nginx/identity.conf names, with commas between them"
    fi
    if [ "$proxy_protocol" = on ] || [ -z "$proxies" ]; then
      refuse IDENTITY_HEADERS "$name" "empty without TRUSTED_PROXIES, and with PROXY_PROTOCOL, because no proxy is trusted to send it"
    fi
  done
  cp -R "$here/." "$prefix/$1/"
  settings >"$prefix/$1/settings.conf"
  # What the settings do not need must not cost time at each request.
  if [ -z "$hosts" ]; then : >"$prefix/$1/misdirected.conf"; fi
  if [ "$tls" = off ] && { [ "$proxy_protocol" = on ] || [ -z "$proxies" ]; }; then : >"$prefix/$1/hsts.conf"; fi
  for name in $identities; do
    echo "proxy_set_header $name \$trusted_$(printf '%s' "$name" | tr - _);" >>"$prefix/$1/identity.conf"
  done
  options=
  if [ "$proxy_protocol" = on ]; then options=" proxy_protocol"; fi
  if [ "$tls" = off ]; then
    # For the same reason as tcp_notsent_lowat in docker-compose.yml, which needs root here.
    [ "$prefix" = "$PREFIX" ] || options="$options sndbuf=64k"
    echo "listen ${NGINX_LISTEN:-8080}$options;" >"$prefix/$1/listen.conf"
  else
    printf 'listen 8443 ssl%s;\ninclude tls.conf;\n' "$options" >"$prefix/$1/listen.conf"
    echo "listen 8080$options;" >"$prefix/$1/redirect-listen.conf"
    [ -z "$obstacle" ] || echo "nginx: $obstacle: nginx serves HTTP only without it. Correct it, then reload nginx" >&2
  fi
  # begin monitoring
  if [ "$log_format" = text ]; then
    for name in listen redirect-listen; do text_log_of_server >>"$prefix/$1/$name.conf"; done
  fi
  # end monitoring
}

# Succeed if the next configuration has no site, because the certificate is bad, or is gone since the running one.
loses_site() {
  [ -n "$obstacle" ] && { [ -e certs/fullchain.pem ] || grep -q "include site.conf" conf/settings.conf; }
}

reload() {
  cd "$PREFIX"
  rm -rf next before copy.new
  if [ "$1" = - ]; then
    mkdir copy.new
    tar -x -C copy.new
  fi
  if ! configure next || loses_site || ! nginx -t -q -p "$PREFIX/" -c next/nginx.conf -e stderr; then
    rm -rf next copy.new
    echo "nginx: the reload was refused. The running configuration is unchanged, until nginx restarts: correct the error above" >&2
    exit 1
  fi
  mv conf before
  mv next conf
  rm -rf before
  if [ -d copy.new ]; then
    rm -rf copy
    mv copy.new copy
  fi
  kill -HUP "$(cat nginx.pid)"
}

# Prints the site's address in the container's log, once, when the app is ready.
announce() {
  if [ -z "${SITE_URL:-}" ] || [ -e announced ]; then return; fi
  # The app may refuse other hosts.
  host=$(printf '%s\n' "${ALLOWED_HOSTS:-}" | sed 's/^[, ]*//; s/[, ].*//; s/\*/www/; s/^$/localhost/')
  if curl --noproxy '*' --fail --silent --max-time 1 --output /dev/null --unix-socket run/live.sock "http://$host/readyz"; then
    touch announced
    echo "nginx: the site is ready at $(echo "$SITE_URL" | sed 's/127\.0\.0\.1\|0\.0\.0\.0\|\[::1\]\|\[::\]/localhost/')" >/proc/1/fd/1
  fi
}

here=$(cd "$(dirname "$0")" && pwd)
prefix=$PREFIX
case ${1:-} in
  configure)
    prefix=${2:-$PREFIX}
    configure "${3:-conf}"
    ;;
  start)
    configure conf
    cd "$PREFIX"
    rm -f status/nginx.sock # a killed nginx leaves it, and none can listen there again # only with monitoring
    exec nginx -p "$PREFIX/" -c conf/nginx.conf -e stderr -g "daemon off;"
    ;;
  reload) reload "${2:-}" ;;
  health)
    set --
    if [ "${PROXY_PROTOCOL:-off}" = on ]; then set -- --haproxy-protocol; fi
    curl --noproxy '*' --fail --silent --show-error --output /dev/null "$@" http://127.0.0.1:8080/nginx-health
    announce
    ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
