import io
import sys
import types

import pytest


@pytest.fixture
def web(monkeypatch):
    jobs = []
    broker = types.SimpleNamespace(put=lambda *job: jobs.append(job))
    db = types.SimpleNamespace(create=lambda name, args: 7, get=lambda job_id: None)
    monkeypatch.setitem(sys.modules, "jobline.broker", broker)
    monkeypatch.setitem(sys.modules, "jobline.db", db)
    import jobline

    monkeypatch.setattr(jobline, "broker", broker, raising=False)
    monkeypatch.setattr(jobline, "db", db, raising=False)
    monkeypatch.delitem(sys.modules, "jobline.web", raising=False)
    import jobline.web

    yield jobline.web, jobs
    sys.modules.pop("jobline.web")


def call(web, method, path, body=b""):
    return web.route(
        {"REQUEST_METHOD": method, "PATH_INFO": path, "CONTENT_LENGTH": len(body), "wsgi.input": io.BytesIO(body)}
    )


def test_health(web):
    assert call(web[0], "GET", "/health/") == ("200 OK", {"status": "UP"})


def test_a_job_is_queued(web):
    status, body = call(web[0], "POST", "/jobs", b'{"name": "primes", "args": {"below": 9}}')
    assert (status, body) == ("202 Accepted", {"id": 7})
    assert web[1] == [(7, "primes", {"below": 9})]


@pytest.mark.parametrize("path", ["/jobs/1", "/jobs/x", "/"])
def test_not_found(web, path):
    assert call(web[0], "GET", path)[0] == "404 Not Found"
