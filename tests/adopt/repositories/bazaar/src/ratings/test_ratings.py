import unittest

from server import average


class AverageTest(unittest.TestCase):
  def test_rounds(self):
    self.assertEqual(average('p1'), 4.7)

  def test_unrated(self):
    self.assertIsNone(average('p5'))
