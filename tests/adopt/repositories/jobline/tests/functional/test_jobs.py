"""docker compose up -d --wait && pytest tests/functional"""

import json
import os
import time
import urllib.request

import pytest

API = os.environ.get("JOBLINE_API", "http://127.0.0.1:8888")


def call(path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(API + path, data, timeout=5) as response:
        return json.load(response)


def result_of(name, args):
    job_id = call("/jobs", {"name": name, "args": args})["id"]
    for _ in range(100):
        job = call(f"/jobs/{job_id}")
        if job["state"] != "queued":
            return job["state"], job["result"]
        time.sleep(0.1)
    pytest.fail("no worker did the job")


def test_job():
    assert result_of("wordcount", {"text": "to be or not to be"}) == ("done", {"to": 2, "be": 2, "or": 1, "not": 1})


def test_failing_job():
    assert result_of("primes", {}) [0] == "failed"
