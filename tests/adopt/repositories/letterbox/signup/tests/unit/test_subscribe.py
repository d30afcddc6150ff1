from unittest import TestCase, mock

from letterbox import http


class SubscribeTestCase(TestCase):
    def subscribe(self, address, count=1):
        self.send = mock.Mock()
        return http.subscribe(address, 'http://x', lambda key, ttl: count, self.send)[0]

    def test_mail_has_the_link(self):
        self.assertEqual(self.subscribe('a+b@example.com'), 202)
        text = self.send.call_args.args[0].get_content()
        self.assertIn('http://x/confirm?address=a%2Bb%40example.com&token=', text)

    def test_limit(self):
        self.assertEqual(self.subscribe('a@example.com', count=4), 429)
        self.send.assert_not_called()

    def test_nonsense(self):
        self.assertEqual(self.subscribe('nonsense'), 400)
        self.send.assert_not_called()

    def test_confirm_refuses_other_tokens(self):
        self.assertEqual(http.confirm('a@example.com', 'x')[0], 403)
