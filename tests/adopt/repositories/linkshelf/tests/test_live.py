"""pytest -m live, with `docker compose up -d` running."""
import json
import os
import urllib.error
import urllib.request
import uuid

import pytest

pytestmark = pytest.mark.live

SHELF_URL = os.getenv("SHELF_URL", "http://localhost:5000")
SHELF_DSN = os.getenv(
    "SHELF_DSN", "postgresql://librarian:dewey-decimal@localhost:5433/shelf"
)


def call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        SHELF_URL + path, data, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        return response.read()


@pytest.fixture
def title():
    return f"title {uuid.uuid4().hex}"


def test_ping():
    assert call("/ping") == b"pong"


def test_added_link_is_listed(title):
    slug = json.loads(call("/links", {"url": "https://example.org", "title": title}))[
        "slug"
    ]
    assert slug in [link["slug"] for link in json.loads(call("/links"))]


def test_ftp_is_refused():
    with pytest.raises(urllib.error.HTTPError) as error:
        call("/links", {"url": "ftp://example.org"})
    assert error.value.code == 400


def test_read_links_leave_the_shelf(title):
    psycopg = pytest.importorskip("psycopg")
    from linkshelf.store import Shelf

    shelf = Shelf(SHELF_DSN)
    slug = shelf.add("https://example.org", title)
    assert shelf.mark_read(slug)
    with psycopg.connect(SHELF_DSN) as conn:
        (read_at,) = conn.execute(
            "SELECT read_at FROM links WHERE slug = %s", (slug,)
        ).fetchone()
    assert read_at is not None
