#!/bin/bash
# Run once by the image, in an empty cluster: the services' role and database, and what a replica needs.
set -euo pipefail

psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres --no-password <<'SQL'
\set app `cat /run/secrets/postgres-password`
\set copier `cat /run/secrets/postgres-replication`
CREATE ROLE littlevote LOGIN PASSWORD :'app';
CREATE DATABASE littlevote OWNER littlevote;
REVOKE ALL ON DATABASE littlevote FROM PUBLIC;
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'copier';
-- The primary keeps for the replica what it has not yet fetched, up to max_slot_wal_keep_size.
SELECT pg_create_physical_replication_slot('replica', true);
-- From the next start on, which follows at once: a COMMIT is answered when the replica has it on its disk, too, so that a
-- promotion loses nothing. Without its replica the primary commits nothing.
ALTER SYSTEM SET synchronous_standby_names = 'replica';
SQL
echo 'host replication replicator all scram-sha-256' >>"$PGDATA/pg_hba.conf"
