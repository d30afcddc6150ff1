#!/bin/sh
# The public image's contract: options alone mean redis-server, root steps down to redis, and a
# server without a password answers other containers too.
set -e
case "$1" in -* | *.conf) set -- redis-server "$@" ;; esac
if [ "$1" = redis-server ]; then
  set -- "$@" --protected-mode no
  if [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis {} +
    exec setpriv --reuid=redis --regid=redis --init-groups "$0" "$@"
  fi
fi
exec "$@"
