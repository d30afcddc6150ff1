#!/usr/bin/env bash
# The public image's contract: POSTGRES_{USER,PASSWORD,DB,INITDB_ARGS}[_FILE], initdb once, then
# /docker-entrypoint-initdb.d while only the socket listens, then the server, never as root.
set -euo pipefail

die() {
  echo "Error: $*" >&2
  exit 1
}

for name in POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB POSTGRES_INITDB_ARGS; do
  file=${name}_FILE
  if [[ -n ${!file:-} && -n ${!name:-} ]]; then die "both $name and $file are set"; fi
  if [[ -n ${!file:-} ]]; then
    export "$name=$(<"${!file}")"
    unset "$file"
  fi
done
export POSTGRES_USER=${POSTGRES_USER:-postgres}
export POSTGRES_DB=${POSTGRES_DB:-$POSTGRES_USER}

if [[ ${1:-} == -* ]]; then set -- postgres "$@"; fi
if [[ ${1:-} != postgres ]]; then exec "$@"; fi

if grep -q ' /var/lib/postgresql/data ' /proc/self/mountinfo; then
  die "in 18+, /var/lib/postgresql is the volume, not /var/lib/postgresql/data"
fi
mkdir -p "$PGDATA"
if [[ $(id -u) == 0 ]]; then
  chmod 700 "$PGDATA"
  find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres {} +
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

initialise() {
  if [[ -z ${POSTGRES_PASSWORD:-} && ${POSTGRES_HOST_AUTH_METHOD:-} != trust ]]; then
    die "Database is uninitialized and superuser password is not specified: set POSTGRES_PASSWORD."
  fi
  # shellcheck disable=SC2086 # the options are words
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") \
    ${POSTGRES_INITDB_ARGS:-}
  printf 'host all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" \
    >>"$PGDATA/pg_hba.conf"
  pg_ctl -w start -o "-c listen_addresses='' -p 5432"
  export PGPASSWORD=${PGPASSWORD:-${POSTGRES_PASSWORD:-}}
  local psql=(psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username "$POSTGRES_USER") script
  if [[ $POSTGRES_DB != postgres ]]; then
    "${psql[@]}" --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
  fi
  for script in /docker-entrypoint-initdb.d/*; do
    case $script in
      *.sh)
        if [[ -x $script ]]; then
          "$script"
        else
          # shellcheck disable=SC1090 # whatever the user put there
          . "$script"
        fi
        ;;
      *.sql) "${psql[@]}" --dbname "$POSTGRES_DB" --file "$script" ;;
      *.sql.gz) gunzip -c "$script" | "${psql[@]}" --dbname "$POSTGRES_DB" ;;
    esac
  done
  unset PGPASSWORD
  pg_ctl -m fast -w stop
}

if [[ ! -s $PGDATA/PG_VERSION ]]; then initialise; fi
# The real image's default configuration listens everywhere.
exec postgres -c listen_addresses='*' "${@:2}"
