import unittest

import server


class CatalogTest(unittest.TestCase):
  def test_lists_everything(self):
    status, body = server.lookup('/products')
    self.assertEqual(status, 200)
    self.assertEqual(len(body), 5)

  def test_single_product(self):
    self.assertEqual(server.lookup('/products/p3')[1]['name'], 'Watch')

  def test_unknown_product(self):
    self.assertEqual(server.lookup('/products/nope')[0], 404)


if __name__ == '__main__':
  unittest.main()
