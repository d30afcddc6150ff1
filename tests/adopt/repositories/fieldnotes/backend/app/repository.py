from contextlib import closing

import pg8000.dbapi

from app.config import POSTGRES


def connect():
    return closing(pg8000.dbapi.connect(**POSTGRES))


def create_table() -> None:
    with connect() as connection:
        connection.cursor().execute(
            "CREATE TABLE IF NOT EXISTS note (id serial PRIMARY KEY, species text, count int, remark text, score real)"
        )
        connection.commit()


def seen(species: str) -> int:
    with connect() as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM note WHERE species = %s", (species,))
        return cursor.fetchone()[0]


def save(species: str, count: int, remark: str, score: float) -> int:
    with connect() as connection:
        cursor = connection.cursor()
        cursor.execute(
            "INSERT INTO note (species, count, remark, score) VALUES (%s, %s, %s, %s) RETURNING id",
            (species, count, remark, score),
        )
        (identifier,) = cursor.fetchone()
        connection.commit()
        return identifier


def best(limit: int) -> list[dict]:
    with connect() as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT species, count, score FROM note ORDER BY score DESC, id LIMIT %s", (limit,))
        return [{"species": s, "count": c, "score": p} for s, c, p in cursor.fetchall()]
