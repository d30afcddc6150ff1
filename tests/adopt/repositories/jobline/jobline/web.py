import json
import os
import signal
import sys
from wsgiref.simple_server import make_server

from jobline import broker, db, settings


def application(environ, start_response):
    status, body = route(environ)
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]


def route(environ):
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"].rstrip("/")
    if path == "/health":
        return "200 OK", {"status": "UP"}
    if method == "POST" and path == "/jobs":
        body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        job_id = db.create(body["name"], body.get("args", {}))
        broker.put(job_id, body["name"], body.get("args", {}))
        return "202 Accepted", {"id": job_id}
    if path.startswith("/jobs/") and path[6:].isdigit():
        job = db.get(int(path[6:]))
        return ("200 OK", job) if job else ("404 Not Found", {})
    return "404 Not Found", {}


def watch(pid_one_file=__file__):
    """Restart when the module changes: for development."""
    import threading
    import time

    def loop(changed=os.stat(pid_one_file).st_mtime):
        while os.stat(pid_one_file).st_mtime == changed:
            time.sleep(1)
        os.execv(sys.executable, [sys.executable, "-m", "jobline.web", "--reload"])

    threading.Thread(target=loop, daemon=True).start()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    if "--reload" in sys.argv:
        watch()
    make_server("", settings.WEB_PORT, application).serve_forever()
