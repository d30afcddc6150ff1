import unittest

from geocoder.grid import to_degrees, to_locator


class GridTests(unittest.TestCase):

    def test_munich(self):
        self.assertEqual(to_locator(48.14666, 11.60833), "JN58td")

    def test_montevideo(self):
        self.assertEqual(to_locator(-34.91, -56.21166), "GF15vc")

    def test_poles_and_beyond(self):
        self.assertEqual(to_locator(-90, -180), "AA00aa")
        with self.assertRaises(ValueError):
            to_locator(90.5, 0)

    def test_round_trip(self):
        for square in ("JN58td", "GF15vc", "FN31pr"):
            self.assertEqual(to_locator(*to_degrees(square)), square)

    def test_short_locator(self):
        self.assertRaises(ValueError, to_degrees, "JN58")
