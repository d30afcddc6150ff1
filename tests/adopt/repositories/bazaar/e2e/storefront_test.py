"""Against a running shop: FRONTEND_ADDR=host:port python3 e2e/storefront_test.py"""
import json
import os
import unittest
import urllib.request
import uuid

FRONTEND = 'http://' + os.environ.get('FRONTEND_ADDR', 'localhost:8080')


def request(path, body=None):
  data = None if body is None else json.dumps(body).encode()
  with urllib.request.urlopen(FRONTEND + path, data, timeout=10) as response:
    return response.read().decode()


class StorefrontTest(unittest.TestCase):
  def test_home_lists_products(self):
    self.assertIn('Candle Holder', request('/'))

  def test_product_page_shows_rating(self):
    self.assertIn('4.7', request('/product/p1'))

  def test_search(self):
    self.assertIn('Watch', request('/search?q=watch'))

  def test_order(self):
    user = uuid.uuid4().hex
    request('/cart/' + user, {'product': 'p5', 'quantity': 2})
    order = json.loads(request('/cart/checkout', {
        'user': user, 'email': 'e2e@example.com', 'currency': 'USD', 'card': '4111111111111111'}))
    self.assertEqual(order['total'], 29.49)
    self.assertEqual(json.loads(request('/cart/' + user)), {})


if __name__ == '__main__':
  unittest.main()
