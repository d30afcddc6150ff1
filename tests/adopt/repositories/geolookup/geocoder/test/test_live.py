import json
import os
import unittest
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

GEOCODER = os.environ.get("GEOCODER_URL", "http://localhost:5000").rstrip("/")


def get(path):
    return json.load(urlopen(GEOCODER + path, timeout=3))


def running():
    try:
        return "version" in get("/status")
    except (URLError, OSError, ValueError):
        return False


@unittest.skipUnless(running(), "geocoder is not running at " + GEOCODER)
class LiveTests(unittest.TestCase):

    def test_hits_are_counted(self):
        first = get("/locator?lat=41.7147&lon=-72.7272")
        second = get("/locator?lat=41.7147&lon=-72.7272")
        self.assertEqual(second["locator"], "FN31pr")
        self.assertEqual(second["hits"], first["hits"] + 1)

    def test_top(self):
        get("/locator?lat=1&lon=1")
        self.assertIn("JJ01ma", get("/top")["top"])

    def test_bad_request(self):
        with self.assertRaises(HTTPError) as e:
            get("/locator?lat=north&lon=1")
        self.assertEqual(e.exception.code, 400)
