#!/bin/bash
# Runs before the replica starts: takes a copy of the primary unless there is one, and from then on streams.
set -euo pipefail
[ -s "$PGDATA/PG_VERSION" ] && exit 0
until pg_isready --quiet --host postgres --username replicator --timeout 5; do sleep 2; done
rm -rf "${PGDATA:?}" # what a copy left that was broken off
pg_basebackup --pgdata "$PGDATA" --host postgres --username replicator --write-recovery-conf --wal-method stream
chmod 0700 "$PGDATA"
