#!/bin/sh
# What a container does, and a server without containers can do as well: one verb. Settings: docs/operations.md.
set -eu
cd "$(dirname "$0")/.."

usage() {
  cat >&2 <<'TEXT'
usage: entrypoint.sh VERB [ARGUMENTS]
  roles           make roles and database, and set the logins' passwords (needs ADMIN_DATABASE_URL)
  migrate         bring shared tables and all tenants' up to date (needs MIGRATION_DATABASE_URL; with
                  SUPERUSER_DATABASE_URL it hardens the database as well)
  web             serve
  jobs [once]     run what must run daily, at once and then every JOBS_EVERY seconds (86400)
  manage COMMAND  run a command of manage.py
TEXT
  exit 64
}

say() { printf '{"event": "%s", "job": "%s", "level": "%s", "timestamp": "%s"}\n' "$1" "$2" "$3" "$(date -u +%FT%TZ)" >&2; }

# A failed job is tried again at the next round; the others run all the same.
round() {
  failed=0
  for job in clearsessions; do
    if python manage.py "$job"; then say job_done "$job" info; else say job_failed "$job" error; failed=1; fi
  done
  return "$failed"
}

jobs() {
  if [ "${1:-}" = once ]; then round; exit; fi
  sleeper=
  trap 'if [ -n "$sleeper" ]; then kill "$sleeper"; wait "$sleeper"; fi 2>/dev/null || true; exit 0' TERM INT
  while :; do
    round || true
    sleep "${JOBS_EVERY:-86400}" &
    sleeper=$!
    wait "$sleeper"
    sleeper=
  done
}

verb=${1:-}
if [ "$#" -gt 0 ]; then shift; fi
case $verb in
  roles) python -m config.database wait ADMIN_DATABASE_URL; exec python -m config.database roles ;;
  migrate) python -m config.database wait MIGRATION_DATABASE_URL; exec python manage.py upgrade ;;
  web) python -m config.database wait DATABASE_URL; exec python manage.py serve ;;
  jobs) python -m config.database wait DATABASE_URL; jobs "$@" ;;
  manage) exec python manage.py "$@" ;;
  *) usage ;;
esac
