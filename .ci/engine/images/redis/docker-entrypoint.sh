#!/bin/sh
# The public image's contract: options alone mean the server, root steps down to the server's user,
# and a server without a password answers other containers too.
set -e
program=$SERVER-server
case "${1:--}" in -* | *.conf) set -- "$program" "$@" ;; esac
if [ "$1" = "$program" ]; then
  set -- "$@" --protected-mode no
  if [ "$(id -u)" = 0 ]; then
    find . ! -user "$SERVER" -exec chown "$SERVER" {} +
    exec setpriv --reuid="$SERVER" --regid="$SERVER" --init-groups "$0" "$@"
  fi
fi
exec "$@"
