import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pg8000.dbapi

import votes
from resp import Redis

redis = Redis(os.getenv("REDIS_HOST", "redis"))


def count():
    con = pg8000.dbapi.connect(user="postgres", password="postgres", host=os.getenv("PG_HOST", "db"))
    try:
        cur = con.cursor()
        cur.execute("SELECT choice, count(*) FROM votes GROUP BY choice")
        return dict(cur.fetchall())
    finally:
        con.close()


class App(BaseHTTPRequestHandler):
    def answer(self, code, body):
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self):
        if self.path == "/api/results":
            counts = count()
            self.answer(200, {"counts": counts, "percent": votes.shares(counts)})
        elif self.path == "/api/status":
            self.answer(200, {"redis": redis.command("PING")})
        else:
            self.answer(404, {})

    def do_POST(self):
        try:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            redis.push("votes", votes.parse(body))
            self.answer(202, {})
        except votes.BadVote as bad:
            self.answer(400, {"error": str(bad)})


if __name__ == "__main__":
    ThreadingHTTPServer(("", 80), App).serve_forever()
