#!/bin/sh
# Makes the secrets that docker/compose.yaml mounts, once, in docker/secrets (or the folder named): a file that is there
# stays as it is. The folder is for you alone; the files in it can be read by the containers' users, whose ids differ.
set -eu
folder=${1:-"$(dirname "$0")/secrets"}
(umask 077 && mkdir -p "$folder")
chmod 700 "$folder"

random() { LC_ALL=C tr -dc 'a-zA-Z0-9' </dev/urandom | head -c 48; }

# keep NAME VALUE: a new file, whole or not at all.
keep() {
  if [ -s "$folder/$1" ]; then return; fi
  printf '%s' "$2" >"$folder/$1.new"
  chmod 644 "$folder/$1.new"
  mv "$folder/$1.new" "$folder/$1"
  echo "made $folder/$1"
}

keep postgres_password "$(random)"
keep admin_database_url "postgresql://postgres:$(cat "$folder/postgres_password")@database:5432/postgres"
keep superuser_database_url "postgresql://postgres:$(cat "$folder/postgres_password")@database:5432/daybook"
keep migration_database_url "postgresql://daybook_owner:$(random)@database:5432/daybook"
keep database_url "postgresql://daybook_app:$(random)@database:5432/daybook"
keep secret_key "$(random)"
keep metrics_token "$(random)"
