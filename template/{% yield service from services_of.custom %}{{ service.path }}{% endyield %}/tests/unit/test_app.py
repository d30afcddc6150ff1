"""Unit tests: no container, nothing but the code."""

import unittest

from app import answer


class AnswerTest(unittest.TestCase):
    """What the service answers."""

    def test_is_healthy(self) -> None:
        """The health check sees that it is up."""
        self.assertEqual(answer("/health"), (200, {"status": "ok"}))

    def test_knows_no_other_path(self) -> None:
        """Anything else is refused."""
        self.assertEqual(answer("/elsewhere")[0], 404)


if __name__ == "__main__":
    unittest.main()
