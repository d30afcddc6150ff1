import unittest

from server import quote


class QuoteTest(unittest.TestCase):
  def test_flat_rate(self):
    self.assertEqual(quote(1), 4.99)

  def test_free_for_many(self):
    self.assertEqual(quote(5), 0.0)

  def test_empty(self):
    self.assertEqual(quote(0), 0.0)
