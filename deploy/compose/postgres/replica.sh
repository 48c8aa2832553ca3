#!/bin/bash
# Runs a streaming replica of the server POSTGRES_PRIMARY; an empty one copies it first.
set -euo pipefail
umask 077

password=$(</run/secrets/postgres-replication)
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # What an interrupted copy left behind.
  find "$PGDATA" -mindepth 1 -delete
  PGPASSWORD=$password pg_basebackup --pgdata="$PGDATA" --wal-method=stream --checkpoint=fast --slot=replica \
    --host="$POSTGRES_PRIMARY" --username=replicator --no-password
  touch "$PGDATA/standby.signal"
fi
passfile=/tmp/pgpass
echo "*:*:*:replicator:$password" >"$passfile"
# By its name the primary knows whom it waits for; once promoted it waits for nobody.
exec postgres -c config_file=/etc/littlevote/postgresql.conf -c synchronous_standby_names= -c primary_slot_name=replica \
  -c primary_conninfo="host=$POSTGRES_PRIMARY user=replicator passfile=$passfile application_name=replica"
