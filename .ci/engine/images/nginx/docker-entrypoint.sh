#!/bin/sh
# The public image's contract: /docker-entrypoint.d/*.sh run first, and a file
# /etc/nginx/templates/*.template gets its ${VARIABLES} filled in, where conf.d can be written.
set -e
output=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}
if [ -d /etc/nginx/templates ] && [ ! -w "$output" ]; then
  echo "$0: ERROR: /etc/nginx/templates exists, but $output is not writable" >&2
elif [ -d /etc/nginx/templates ]; then
  # shellcheck disable=SC2016 # the names go to envsubst as ${NAME}
  defined=$(env | sed -n 's/^\([A-Za-z_][A-Za-z_0-9]*\)=.*/${\1}/p' | tr '\n' ' ')
  for template in /etc/nginx/templates/*.template; do
    name=${template##*/}
    envsubst "$defined" <"$template" >"$output/${name%.template}"
  done
fi
for script in /docker-entrypoint.d/*.sh; do
  if [ -x "$script" ]; then "$script"; fi
done
exec "$@"
