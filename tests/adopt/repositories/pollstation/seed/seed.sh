#!/bin/sh
# Creates the table and fills it with a few votes so the chart isn't empty.
set -e
until pg_isready -q -h db -U postgres; do
  echo "waiting for db"
  sleep 1
done
psql -q -h db -U postgres -v ON_ERROR_STOP=1 -f schema.sql
psql -q -h db -U postgres -v ON_ERROR_STOP=1 -c "\copy incoming from 'votes.csv' csv"
psql -q -h db -U postgres -v ON_ERROR_STOP=1 \
  -c "INSERT INTO votes SELECT * FROM incoming ON CONFLICT DO NOTHING; TRUNCATE incoming"
echo "seeded"
