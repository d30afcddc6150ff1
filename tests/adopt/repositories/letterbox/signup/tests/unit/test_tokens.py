from unittest import TestCase

from letterbox import tokens


class TokensTestCase(TestCase):
    def test_round_trip(self):
        token = tokens.make('s', 'Kim@example.com')
        self.assertTrue(tokens.check('s', 'kim@example.com', token))

    def test_other_address(self):
        self.assertFalse(tokens.check('s', 'a@example.com', tokens.make('s', 'b@example.com')))

    def test_addresses(self):
        for good in 'a@b.de', 'a.b@c.example':
            self.assertTrue(tokens.looks_like_address(good), good)
        for bad in 'a', '@b.de', 'a@b', 'a@b.', 'a b@c.de':
            self.assertFalse(tokens.looks_like_address(bad), bad)
