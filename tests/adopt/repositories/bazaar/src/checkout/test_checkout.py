import unittest

import server

ORDER = {'user': 'u', 'email': 'u@example.com', 'currency': 'EUR', 'card': '4111111111111111'}


class Fake:
  def __init__(self, basket):
    self.basket, self.calls = basket, []

  def __call__(self, service, path, body=None, method=None):
    self.calls.append((service, method))
    return {
        'basket': self.basket,
        'catalog': {'priceUsd': 10.0},
        'shipping': {'costUsd': 4.99},
        'currency': {'amount': float(path.rsplit('=', 1)[-1]) if 'amount' in path else 0},
        'payments': {'transaction': 't-1'},
        'mailer': {},
    }[service]


class PlaceTest(unittest.TestCase):
  def test_total_includes_shipping(self):
    fake = Fake({'p1': 2})
    self.assertEqual(server.place(ORDER, fake), {'transaction': 't-1', 'total': 24.99})

  def test_basket_is_emptied_after_the_charge(self):
    fake = Fake({'p1': 1})
    server.place(ORDER, fake)
    self.assertLess(fake.calls.index(('payments', None)), fake.calls.index(('basket', 'DELETE')))

  def test_empty_basket_is_not_charged(self):
    fake = Fake({})
    server.place(ORDER, fake)
    self.assertNotIn(('payments', None), fake.calls)
