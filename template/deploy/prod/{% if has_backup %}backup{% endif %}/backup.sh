#!/bin/sh
# Kept by the template: copier update merges its changes into this file.
#
# Runs in the container `backup`. A backup is a folder of dumps whose name is its time in UTC. Its
# MANIFEST has the size and the checksum of each file. The folder gets its name last, so a folder
# with a name is complete.
#
#   backup.sh now                     create a backup
#   backup.sh schedule                create a backup at BACKUP_AT: HH:MM in UTC, or a number of hours, as 6h
#   backup.sh list                    list the backups, the newest last
#   backup.sh check                   fail with one line if the newest backup is too old or damaged
#   backup.sh verify NAME             fail with one line if a backup is damaged
#   backup.sh restore NAME [DATABASE…] [--replace]
#                                     restore into an empty host; beside existing data, into databases
#                                     <name>_restored; or, with --replace, over the existing data
#
# NAME may be latest.
set -eu
umask 077

FOLDER=${BACKUP_FOLDER:-/backups}
CACHE_FOLDER=${CACHE_FOLDER:-/cache}
AT=${BACKUP_AT:-03:00}
HOUR=3600
TAB=$(printf '\t')

if [ -n "${PGPASSWORD_FILE:-}" ]; then
  PGPASSWORD=$(cat "$PGPASSWORD_FILE")
  export PGPASSWORD
fi

say() { echo "backup: $*"; }

fail() {
  echo "backup: $*" >&2
  exit 1
}

# Backups and restores exclude each other, also in several containers.
lock() {
  exec 9>"$FOLDER/.lock"
  flock -n 9 || fail "another backup or restore is running"
}

# The first argument is the database.
sql() { psql --no-psqlrc --quiet --tuples-only --no-align --field-separator="$TAB" --set=ON_ERROR_STOP=1 -d "$@"; }

has_database() { [ -n "${PGHOST:-}" ]; }
has_cache() { [ -n "${CACHE_HOST:-}" ]; }

# All complete backups, the oldest first.
names() {
  for manifest in "$FOLDER"/[0-9]*T[0-9]*Z/MANIFEST; do
    [ -f "$manifest" ] || continue
    manifest=${manifest%/MANIFEST}
    echo "${manifest##*/}"
  done
}

# A backup that was created while the clock was wrong may be in the future. It must not stop new ones.
newest() { names | awk -v now="$(date -u +%Y%m%dT%H%M%SZ)" '$0 <= now' | tail -n 1; }

# The time of a backup, in seconds since 1970.
time_of() {
  read -r _ _ seconds <"$FOLDER/$1/MANIFEST"
  echo "$seconds"
}

# Replace a small file atomically.
write() {
  cat >"$FOLDER/.new"
  mv "$FOLDER/.new" "$1"
}

# After a start of the host, the database needs a moment.
wait_for_database() {
  tries=60
  until pg_isready --quiet; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || fail "the database does not answer"
    sleep 1
  done
}

# CREATE

# The server's answer to SYNC is a snapshot, as `redis-cli --rdb` requests it. PostgreSQL's image has
# no client for the cache, but it has bash, which opens connections.
dump_cache() {
  bash -euc '
    exec 3<>"/dev/tcp/$1/6379"
    # Without the carriage return at the end of a line.
    answer() { IFS= read -r -t 60 line <&3; line=${line%?}; }
    if [ -n "${CACHE_PASSWORD_FILE:-}" ]; then
      printf "AUTH %s\r\n" "$(cat "$CACHE_PASSWORD_FILE")" >&3
      answer
      [ "$line" = +OK ] || { echo "the cache answers: $line" >&2; exit 1; }
    fi
    printf "SYNC\r\n" >&3
    # Empty lines keep the connection alive while the server writes the snapshot.
    line=
    while [ -z "$line" ]; do answer; done
    [ "${line#\$}" != "$line" ] || { echo "the cache answers: $line" >&2; exit 1; }
    head -c "${line#\$}" <&3 >"$2"
    [ "$(wc -c <"$2")" -eq "${line#\$}" ] || { echo "the cache closed the connection" >&2; exit 1; }
  ' dump_cache "$CACHE_HOST" "$1"
}

# The content of a backup. Runs as a process of its own, so that any error ends it.
dump() {
  if has_database; then
    wait_for_database
    pg_dumpall --globals-only --file="$1/roles.sql"
    # A copy that a restore created beside the database is not backed up.
    sql postgres >"$1/databases" <<'SQL'
SELECT datname, pg_get_userbyid(datdba) FROM pg_database
WHERE NOT datistemplate AND datname <> 'postgres' AND datname !~ '_(restored|restoring|replaced)$' ORDER BY 1
SQL
    while IFS=$TAB read -r database _; do
      case $database in
        *[!A-Za-z0-9_-]*) fail "the name of the database $database has a character that a file name should not have" ;;
      esac
      pg_dump --format=custom --compress=zstd --file="$1/$database.dump" --dbname="$database"
      pg_restore --list "$1/$database.dump" >/dev/null
    done <"$1/databases"
  fi
  if has_cache; then
    dump_cache "$1/cache.rdb"
    case $(head -c 5 "$1/cache.rdb") in
      REDIS | VALKE) ;;
      *) fail "the cache did not send a snapshot" ;;
    esac
  fi
  {
    echo "backup 1 $2"
    count=0
    for file in "$1"/*; do
      count=$((count + 1))
      sum=$(sha256sum "$file")
      echo "${sum%% *} $(wc -c <"$file" | tr -d ' ') ${file##*/}"
    done
    echo "end $count"
  } >"$1/.MANIFEST"
  mv "$1/.MANIFEST" "$1/MANIFEST"
  sync
}

# Create a backup, and write to .last how it ended.
create() {
  rm -rf "$FOLDER"/.tmp-*
  seconds=$(date +%s)
  name=$(date -u +%Y%m%dT%H%M%SZ)
  work=$FOLDER/.tmp-$name
  [ ! -e "$FOLDER/$name" ] || fail "$name exists; try again in a second"
  if mkdir "$work" && output=$(sh "$0" dump "$work" "$seconds" 2>&1) && mv "$work" "$FOLDER/$name"; then
    echo "ok $seconds $name" | write "$FOLDER/.last"
    say "created $name"
    return
  fi
  rm -rf "$work"
  [ -z "${output:-}" ] || echo "$output" >&2
  reason=$(echo "${output:-the folder cannot be written}" | tail -n 1)
  echo "failed $seconds ${reason#backup: }" | write "$FOLDER/.last" || true
  fail "no backup was created"
}

# Remove what is neither among the newest BACKUP_KEEP nor younger than BACKUP_KEEP_DAYS. So a host
# that made no backups for a long time keeps its old ones.
prune() {
  oldest=$(($(date +%s) - ${BACKUP_KEEP_DAYS:-30} * 24 * HOUR))
  names | sort -r | tail -n "+$((${BACKUP_KEEP:-7} + 1))" | while read -r name; do
    if [ "$(time_of "$name")" -lt "$oldest" ]; then
      # Without a name it is never taken for a complete backup.
      mv "$FOLDER/$name" "$FOLDER/.tmp-$name"
      rm -rf "$FOLDER/.tmp-$name"
      say "removed $name"
    fi
  done
}

# SCHEDULE

# The time since which a newer backup must exist.
due() {
  now=$(date +%s)
  case $AT in
    *h) echo $((now - ${AT%h} * HOUR)) ;;
    *:*)
      # Without a zero in front, which would mean an octal number.
      hours=${AT%%:*} minutes=${AT##*:}
      hours=${hours#0} minutes=${minutes#0}
      at=$((${hours:-0} * HOUR + ${minutes:-0} * 60))
      echo $((now - (now - at) % (24 * HOUR)))
      ;;
    *) fail "BACKUP_AT=$AT is neither HH:MM nor a number of hours, as 6h" ;;
  esac
}

schedule() {
  trap 'exit 0' TERM INT
  due >/dev/null
  # What Docker's health check looks at.
  : >/tmp/ready
  while :; do
    state='' at=0 name=$(newest)
    [ ! -f "$FOLDER/.last" ] || read -r state at _ <"$FOLDER/.last"
    if [ -z "$name" ] || [ "$(time_of "$name")" -lt "$(due)" ]; then
      # After a failure, once an hour.
      ago=$(($(date +%s) - at))
      if [ "$state" != failed ] || [ "$ago" -gt $HOUR ] || [ "$ago" -lt 0 ]; then
        sh "$0" now || true
      fi
    fi
    sleep 30 &
    wait $!
  done
}

# CHECK

# Print what is wrong with a backup, and fail.
verify() {
  folder=$FOLDER/$1 count=0 complete='' listed=' MANIFEST '
  [ -f "$folder/MANIFEST" ] || { echo "$1 has no MANIFEST"; return 1; }
  while read -r sum size file; do
    case $sum in
      backup) continue ;;
      end)
        complete=$size
        break
        ;;
    esac
    count=$((count + 1)) listed="$listed$file "
    [ -f "$folder/$file" ] || { echo "$1 has no $file"; return 1; }
    actual=$(wc -c <"$folder/$file" | tr -d ' ')
    [ "$actual" = "$size" ] || { echo "$1/$file has $actual bytes, not $size"; return 1; }
    actual=$(sha256sum "$folder/$file")
    [ "${actual%% *}" = "$sum" ] || { echo "$1/$file has another checksum than its MANIFEST"; return 1; }
  done <"$folder/MANIFEST"
  [ "$complete" = "$count" ] || { echo "$1/MANIFEST is incomplete"; return 1; }
  for file in "$folder"/*; do
    case $listed in
      *" ${file##*/} "*) ;;
      *) echo "$1/${file##*/} is not in its MANIFEST"; return 1 ;;
    esac
    case $file in
      *.dump) pg_restore --list "$file" >/dev/null 2>&1 || { echo "$1/${file##*/} is not a dump"; return 1; } ;;
    esac
  done
}

# Set `name` to the name of an existing backup.
named() {
  case $1 in
    latest)
      name=$(newest)
      [ -n "$name" ] || name=$(names | tail -n 1)
      ;;
    '' | .* | */*) fail "'$1' is not the name of a backup" ;;
    *) name=$1 ;;
  esac
  [ -n "$name" ] && [ -d "$FOLDER/$name" ] || fail "the folder of backups has no $1"
}

hours_since() { echo $((($(date +%s) - $1) / HOUR)); }

check() {
  state='' at=0 rest='' limit=26
  [ ! -f "$FOLDER/.last" ] || read -r state at rest <"$FOLDER/.last"
  [ "$state" != failed ] || fail "the last backup failed $(hours_since "$at") h ago: $rest"
  name=$(newest)
  last=$(names | tail -n 1)
  [ "$last" = "$name" ] || fail "$last is in the future, so the clock of this host is or was wrong; move its folder away"
  [ -n "$name" ] || fail "no backup exists"
  case $AT in *h) limit=$((2 * ${AT%h})) ;; esac
  age=$(hours_since "$(time_of "$name")")
  [ "$age" -lt "$limit" ] || fail "the newest backup, $name, is $age h old, and the limit is $limit h"
  problem=$(verify "$name") || fail "$problem"
  if [ -n "${BACKUP_TARGET:-}" ]; then
    [ ! -f "$FOLDER/.push-failed" ] || fail "the push to the target fails: $(cat "$FOLDER/.push-failed")"
    pushed=
    [ ! -f "$FOLDER/.pushed" ] || read -r pushed <"$FOLDER/.pushed"
    # A push of a large backup takes its time.
    if [ "$pushed" != "$name" ] && [ "$age" -gt 2 ]; then
      fail "$name is $age h old and not at the target; the last one there is ${pushed:-none}"
    fi
    say "$name is $age h old and complete; at the target: ${pushed:-none yet}"
  else
    say "$name is $age h old and complete"
  fi
}

contents() {
  for file in "$FOLDER/$1"/*.dump "$FOLDER/$1"/*.rdb; do
    [ ! -f "$file" ] || printf '%s ' "${file##*/}"
  done
}

list() {
  for name in $(names); do
    size=$(du -sh "$FOLDER/$name")
    echo "$name  ${size%%"$TAB"*}  $(contents "$name")"
  done
}

# RESTORE

# The roles that do not exist yet. An existing role keeps its password, which is the one in its
# secret; `database-setup` gives each service's role its password at every start.
restore_roles() {
  existing=$(sql postgres --command="SELECT quote_ident(rolname) FROM pg_roles")
  existing=$existing awk '
    BEGIN { n = split(ENVIRON["existing"], names, "\n"); for (i = 1; i <= n; i++) known[names[i]] = 1 }
    /^(CREATE|ALTER) ROLE / {
      role = $0; sub(/^(CREATE|ALTER) ROLE /, "", role)
      if ($1 == "CREATE") sub(/;$/, "", role)
      else if (!sub(/ WITH .*/, "", role)) { print; next }
      if (role in known) next
    }
    { print }
  ' "$FOLDER/$1/roles.sql" >/tmp/roles.sql
  # A membership that exists is no news.
  sql postgres --command='SET client_min_messages = warning' --file=/tmp/roles.sql >/dev/null
  rm /tmp/roles.sql
}

is_empty() {
  [ "$(sql postgres --set=name="$1" <<'SQL'
SELECT count(*) FROM pg_database WHERE datname = :'name'
SQL
)" = 1 ] || return 0
  [ "$(sql "$1" --command="SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'")" = 0 ]
}

create_database() {
  sql postgres --set=name="$1" --set=owner="$2" <<'SQL'
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0', :'name', :'owner')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
}

drop_database() {
  sql postgres --set=name="$1" <<'SQL'
SELECT format('DROP DATABASE %I', :'name') WHERE EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
SQL
}

# A dump is restored as a whole, or not at all.
restore_dump() {
  pg_restore --exit-on-error --single-transaction --dbname="$2" "$FOLDER/$1"
}

# Redis and Valkey read their data from these two files when they start.
restore_cache() {
  new=$CACHE_FOLDER/.restored
  rm -rf "$new"
  mkdir "$new"
  cp "$FOLDER/$1/cache.rdb" "$new/appendonly.aof.1.base.rdb"
  echo 'file appendonly.aof.1.base.rdb seq 1 type b' >"$new/appendonly.aof.manifest"
  # The server runs as the owner of the folder.
  chown -R "$(stat -c %u:%g "$CACHE_FOLDER")" "$new"
  sync
  rm -rf "$CACHE_FOLDER/appendonlydir" "$CACHE_FOLDER/dump.rdb"
  mv "$new" "$CACHE_FOLDER/appendonlydir"
}

cache_runs() { bash -c 'exec 3<>"/dev/tcp/$1/6379"' cache_runs "$CACHE_HOST" 2>/dev/null; }

restore() {
  name='' wanted='' replace=''
  for argument in "$@"; do
    case $argument in
      --replace) replace=1 ;;
      -*) fail "restore has no option $argument" ;;
      *) if [ -z "$name" ]; then name=$argument; else wanted="$wanted $argument"; fi ;;
    esac
  done
  lock
  # Nothing is changed until all of this has passed.
  named "$name"
  problem=$(verify "$name") || fail "$problem. Nothing was changed"
  databases=
  if [ -f "$FOLDER/$name/databases" ]; then
    has_database || fail "$name has databases, and this project has none"
    wait_for_database
    while IFS=$TAB read -r database owner; do
      case " ${wanted:-$database} " in *" $database "*) databases="$databases $database:$owner" ;; esac
    done <"$FOLDER/$name/databases"
  fi
  for database in $wanted; do
    case "$databases " in *" $database:"*) ;; *) fail "$name has no database $database" ;; esac
  done
  cache=
  if [ -z "$wanted" ] && [ -f "$FOLDER/$name/cache.rdb" ] && has_cache; then cache=1; fi

  live=
  for entry in $databases; do
    is_empty "${entry%%:*}" || live=1
  done
  filled=
  if [ -n "$cache" ] && [ -d "$CACHE_FOLDER/appendonlydir" ]; then filled=1; fi
  [ -n "$databases" ] || live=$filled

  if [ -n "$replace" ] && [ -n "$live$filled" ]; then
    restore_replace
  elif [ -n "$live" ]; then
    restore_beside
  else
    restore_empty
  fi
}

stopped_cache() {
  if [ -n "$cache" ] && cache_runs; then fail "the cache is running; stop it first. Nothing was changed"; fi
}

restore_empty() {
  say "this host has no data: restoring $name"
  if [ -n "$filled" ]; then
    say "the cache is not restored, because it has data"
    cache=
  fi
  stopped_cache
  [ -z "$databases" ] || restore_roles "$name"
  for entry in $databases; do
    create_database "${entry%%:*}" "${entry##*:}"
    restore_dump "$name/${entry%%:*}.dump" "${entry%%:*}"
    say "restored the database ${entry%%:*}"
  done
  if [ -n "$cache" ]; then
    restore_cache "$name"
    say "restored the cache"
  fi
}

restore_beside() {
  say "this host has data, which is kept: restoring $name beside it"
  for entry in $databases; do
    database=${entry%%:*}_restored
    is_empty "$database" || fail "the database $database exists; drop it first. Nothing was changed"
  done
  [ -z "$databases" ] || restore_roles "$name"
  for entry in $databases; do
    database=${entry%%:*}_restored
    drop_database "$database"
    create_database "$database" "${entry##*:}"
    restore_dump "$name/${entry%%:*}.dump" "$database" || {
      drop_database "$database" || true
      fail "$database was not restored"
    }
    say "restored the database ${entry%%:*} as $database"
  done
  [ -z "$cache" ] || say "the cache was not restored, because it has data"
}

restore_replace() {
  stopped_cache
  for entry in $databases; do
    clients=$(sql postgres --set=name="${entry%%:*}" <<'SQL'
SELECT count(*) FROM pg_stat_activity WHERE datname = :'name' AND backend_type = 'client backend'
SQL
)
    [ "$clients" = 0 ] || fail "$clients clients are connected to ${entry%%:*}; stop the services first. Nothing was changed"
  done
  # The cache is stopped, so its files are kept beside the new ones.
  if has_database; then (CACHE_HOST='' && create); fi
  [ -z "$databases" ] || restore_roles "$name"
  for entry in $databases; do
    database=${entry%%:*}
    drop_database "${database}_restoring"
    create_database "${database}_restoring" "${entry##*:}"
    restore_dump "$name/$database.dump" "${database}_restoring" || {
      drop_database "${database}_restoring" || true
      fail "$database was not restored, and nothing was replaced"
    }
  done
  # All databases change in one transaction.
  for entry in $databases; do
    drop_database "${entry%%:*}_replaced"
    cat <<SQL
SELECT 'ALTER DATABASE "${entry%%:*}" RENAME TO "${entry%%:*}_replaced"'
WHERE EXISTS (SELECT FROM pg_database WHERE datname = '${entry%%:*}') \gexec
ALTER DATABASE "${entry%%:*}_restoring" RENAME TO "${entry%%:*}";
SQL
  done >/tmp/swap.sql
  [ -z "$databases" ] || sql postgres --single-transaction --file=/tmp/swap.sql
  for entry in $databases; do
    drop_database "${entry%%:*}_replaced"
    say "replaced the database ${entry%%:*}"
  done
  if [ -n "$cache" ]; then
    rm -rf "$CACHE_FOLDER/appendonlydir.replaced"
    [ ! -d "$CACHE_FOLDER/appendonlydir" ] ||
      cp -Rp "$CACHE_FOLDER/appendonlydir" "$CACHE_FOLDER/appendonlydir.replaced"
    restore_cache "$name"
    say "replaced the cache; its old files are in appendonlydir.replaced"
  fi
}

verb=${1:-}
[ $# -eq 0 ] || shift
case $verb in
  now)
    lock
    create
    prune
    ;;
  dump) dump "$@" ;;
  schedule) schedule ;;
  list) list ;;
  check) check ;;
  verify)
    named "${1:-}"
    problem=$(verify "$name") || fail "$problem"
    say "$name is complete"
    ;;
  restore) restore "$@" ;;
  *)
    echo "usage: backup.sh now|schedule|list|check|verify NAME|restore NAME [DATABASE…] [--replace]" >&2
    exit 2
    ;;
esac
