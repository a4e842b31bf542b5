#!/bin/sh
# The official image switches protected mode off (the container's network is the wall) and never serves as root.
set -e
case ${1:-} in -*|*.conf) set -- redis-server "$@" ;; esac
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  find . \! -user redis -exec chown redis '{}' +
  exec gosu redis "$0" "$@"
fi
[ "$1" != redis-server ] || { shift; set -- redis-server "$@" --protected-mode no; }
exec "$@"
