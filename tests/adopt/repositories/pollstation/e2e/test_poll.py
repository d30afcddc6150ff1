import json
import os
import time
import unittest
import urllib.request
import uuid

POLL_URL = os.environ.get("POLL_URL", "http://localhost:3000")


def get(path):
    return urllib.request.urlopen(POLL_URL + path, timeout=5).read().decode()


def vote(voter, choice):
    body = json.dumps({"voter": voter, "choice": choice}).encode()
    return urllib.request.urlopen(POLL_URL + "/api/vote", body, timeout=5).status


def counts():
    return json.loads(get("/api/results"))["counts"]


class TestPoll(unittest.TestCase):
    def test_seed_is_there(self):
        self.assertGreaterEqual(sum(counts().values()), 5)

    def test_vote_is_counted(self):
        before = counts()["spaces"]
        self.assertEqual(vote(uuid.uuid4().hex, "spaces"), 202)
        deadline = time.time() + 10
        while counts()["spaces"] == before:
            self.assertLess(time.time(), deadline, "the vote was never counted")
            time.sleep(0.2)

    def test_page(self):
        self.assertIn("tabs:", get("/"))


if __name__ == "__main__":
    unittest.main()
