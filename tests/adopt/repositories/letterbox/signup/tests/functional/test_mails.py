"""Needs the compose stack: LETTERBOX_URL and MAILPIT_URL, see the README."""
import json
import os
import re
import time
import uuid
from unittest import TestCase
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

LETTERBOX_URL = os.environ.get('LETTERBOX_URL', 'http://localhost:9090')
MAILPIT_URL = os.environ.get('MAILPIT_URL', 'http://localhost:8025')


def subscribe(address):
    return urlopen(LETTERBOX_URL + '/', urlencode({'address': address}).encode(), timeout=5).status


def inbox(address):
    found = json.load(urlopen(MAILPIT_URL + '/api/v1/messages', timeout=5))['messages']
    return [m['ID'] for m in found if address in [to['Address'] for to in m['To']]]


class MailsTestCase(TestCase):
    def setUp(self):
        self.address = uuid.uuid4().hex + '@example.com'

    def test_the_link_in_the_mail_works(self):
        self.assertEqual(subscribe(self.address), 202)
        deadline = time.monotonic() + 5
        while not inbox(self.address):
            self.assertLess(time.monotonic(), deadline, 'no mail')
            time.sleep(0.1)
        (identifier,) = inbox(self.address)
        message = json.load(urlopen(f'{MAILPIT_URL}/api/v1/message/{identifier}', timeout=5))
        link = urlsplit(re.search(r'http://\S+', message['Text'])[0])
        answer = urlopen(f'{LETTERBOX_URL}{link.path}?{link.query}', timeout=5)
        self.assertIn(b'Welcome', answer.read())

    def test_the_fourth_mail_is_refused(self):
        for _ in range(3):
            subscribe(self.address)
        with self.assertRaises(HTTPError) as caught:
            subscribe(self.address)
        self.assertEqual(caught.exception.code, 429)
