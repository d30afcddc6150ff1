"""Through the frontend, as a browser would."""

import json
import os
import urllib.request
import uuid

FRONTEND_HOST = os.environ.get("FRONTEND_HOST", "http://localhost:5173")


def call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(FRONTEND_HOST + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.read().decode()


def test_page_is_served():
    assert "Best sightings" in call("/")


def test_new_note_is_ranked():
    species = f"Testus {uuid.uuid4().hex}"
    note = json.loads(call("/api/v1/notes", {"line": f"9999 {species}: many"}))
    assert note["score"] > 1000
    best = json.loads(call("/api/v1/notes/best?limit=100"))
    assert species in [one["species"] for one in best]
