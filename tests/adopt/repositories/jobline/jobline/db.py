import json
from contextlib import contextmanager

import pg8000.dbapi

from jobline import settings


@contextmanager
def cursor():
    connection = pg8000.dbapi.connect(**settings.DB)
    try:
        yield connection.cursor()
        connection.commit()
    finally:
        connection.close()


def create(name, args):
    with cursor() as c:
        c.execute(
            "INSERT INTO job (name, args, state) VALUES (%s, %s, 'queued') RETURNING id",
            (name, json.dumps(args)),
        )
        return c.fetchone()[0]


def finish(job_id, state, result):
    with cursor() as c:
        c.execute(
            "UPDATE job SET state = %s, result = %s, finished = now() WHERE id = %s",
            (state, json.dumps(result), job_id),
        )


def get(job_id):
    with cursor() as c:
        c.execute("SELECT name, state, result FROM job WHERE id = %s", (job_id,))
        row = c.fetchone()
    return row and {"id": job_id, "name": row[0], "state": row[1], "result": json.loads(row[2] or "null")}


def delete_old(days):
    with cursor() as c:
        c.execute("DELETE FROM job WHERE finished < now() - make_interval(days => %s)", (days,))
        return c.rowcount
