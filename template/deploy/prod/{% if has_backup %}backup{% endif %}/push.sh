#!/bin/sh
# Kept by the template: copier update merges its changes into this file.
#
# Runs in the container `backup-push`, whose image has restic. It copies each backup to BACKUP_TARGET,
# encrypted with the secret backup_password.
#
#   push.sh schedule         push every new backup
#   push.sh now              push all new backups, and end
#   push.sh list             list the backups at the target
#   push.sh fetch NAME       copy a backup from the target into the folder of backups; NAME may be latest
set -eu
umask 077

FOLDER=${BACKUP_FOLDER:-/backups}
SECRETS=${BACKUP_SECRETS:-/run/secrets}

fail() {
  echo "backup-push: $*" >&2
  exit 1
}

[ -n "${BACKUP_TARGET:-}" ] || fail "set BACKUP_TARGET in .env"
export RESTIC_REPOSITORY="$BACKUP_TARGET"
export RESTIC_PASSWORD_FILE="$SECRETS/backup_password"
# The file with the keys of S3. For SFTP, the same secret is the private key.
export AWS_SHARED_CREDENTIALS_FILE="$SECRETS/backup_credentials"
export RESTIC_PROGRESS_FPS=0.0001

target() {
  case $BACKUP_TARGET in
    sftp:*)
      [ -n "${BACKUP_KNOWN_HOST:-}" ] || fail "set BACKUP_KNOWN_HOST in .env: the SFTP server's public key"
      # ssh refuses a private key that others may read.
      cat "$SECRETS/backup_credentials" >/tmp/key
      echo >>/tmp/key
      echo "target $BACKUP_KNOWN_HOST" >/tmp/known_hosts
      restic --no-cache --quiet -o sftp.args="-i /tmp/key -o IdentitiesOnly=yes -o BatchMode=yes -o HostKeyAlias=target -o UserKnownHostsFile=/tmp/known_hosts -o StrictHostKeyChecking=yes -o ConnectTimeout=20 -o ServerAliveInterval=30" "$@"
      ;;
    *) restic --no-cache --quiet "$@" ;;
  esac
}

# Whether $1 is newer than $2. Names are times.
newer() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort | tail -n 1)" = "$1" ]; }

# Keep the names that are not in the future. A clock that was wrong must not stop the pushes.
past() { awk -v now="$(date -u +%Y%m%dT%H%M%SZ)" '$0 <= now'; }

# All complete backups, the oldest first.
names() {
  for manifest in "$FOLDER"/[0-9]*T[0-9]*Z/MANIFEST; do
    [ -f "$manifest" ] || continue
    manifest=${manifest%/MANIFEST}
    echo "${manifest##*/}"
  done | past
}

# The last backup at the target.
pushed() { [ ! -f "$FOLDER/.pushed" ] || past <"$FOLDER/.pushed"; }

# Runs as a process of its own, so that any error ends it.
push() {
  # Not a question whether the repository exists: restic would ask a missing bucket for minutes.
  output=$(target init 2>&1) || case $output in
    *"already exists"* | *"already initialized"*) ;;
    *) fail "$output" ;;
  esac
  # Left by a container that was killed.
  target unlock
  cd "$FOLDER"
  for name in $(names); do
    newer "$name" "$(pushed)" || continue
    target backup --host="$BACKUP_HOST" --tag="$name" "$name"
    echo "$name" >.pushed.new
    mv .pushed.new .pushed
    echo "backup-push: pushed $name"
  done
  if [ "${BACKUP_PRUNE:-true}" = true ]; then
    target forget --host="$BACKUP_HOST" --group-by=host --keep-last="${BACKUP_KEEP:-7}" \
      --keep-within="${BACKUP_KEEP_DAYS:-30}d" --prune
  fi
  target check
}

now() {
  if output=$(sh "$0" push 2>&1); then
    rm -f "$FOLDER/.push-failed"
    [ -z "$output" ] || echo "$output"
    return
  fi
  echo "$output" >&2
  echo "$output" | grep -v '^ *$' | tail -n 1 >"$FOLDER/.push-failed"
  return 1
}

schedule() {
  trap 'exit 0' TERM INT
  : >/tmp/ready
  wait=0
  while :; do
    name=$(names | tail -n 1)
    if [ "$wait" -le 0 ] && [ -n "$name" ] && newer "$name" "$(pushed)"; then
      # After a failure, every 10 minutes.
      now || wait=600
    fi
    wait=$((wait - 30))
    sleep 30 &
    wait $!
  done
}

fetch() {
  work=$FOLDER/.fetch
  rm -rf "$work"
  if [ "$1" = latest ]; then
    target restore latest --host="$BACKUP_HOST" --target="$work"
  else
    target restore latest --host="$BACKUP_HOST" --tag="$1" --target="$work"
  fi
  for found in "$work"/*; do
    name=${found##*/}
    [ ! -e "$FOLDER/$name" ] || fail "$name is already in the folder"
    mv "$found" "$FOLDER/$name"
    echo "backup-push: fetched $name"
  done
  rm -rf "$work"
}

case ${1:-} in
  schedule) schedule ;;
  now) now ;;
  push) push ;;
  list) target snapshots --host="$BACKUP_HOST" --group-by=host --compact ;;
  fetch) fetch "${2:?the name of a backup, or latest}" ;;
  *)
    echo "usage: push.sh schedule|now|list|fetch NAME" >&2
    exit 2
    ;;
esac
