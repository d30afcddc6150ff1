import os

import psycopg
from psycopg.rows import dict_row

from .slugs import slugify, unique


class Shelf:
    def __init__(self, dsn: str | None = None):
        self.dsn = dsn or os.environ["DATABASE_URL"]

    def _connect(self):
        return psycopg.connect(self.dsn, row_factory=dict_row)

    def add(self, url: str, title: str) -> str:
        slug = slugify(title)
        with self._connect() as conn:
            taken = {
                row["slug"]
                for row in conn.execute(
                    "SELECT slug FROM links WHERE slug LIKE %s", (slug + "%",)
                )
            }
            slug = unique(slug, taken)
            conn.execute(
                "INSERT INTO links (slug, url, title) VALUES (%s, %s, %s)",
                (slug, url, title),
            )
        return slug

    def unread(self) -> list[dict]:
        with self._connect() as conn:
            return conn.execute(
                "SELECT slug, url, title FROM links"
                " WHERE read_at IS NULL ORDER BY added_at DESC"
            ).fetchall()

    def mark_read(self, slug: str) -> bool:
        with self._connect() as conn:
            cursor = conn.execute(
                "UPDATE links SET read_at = now() WHERE slug = %s", (slug,)
            )
            return cursor.rowcount == 1
