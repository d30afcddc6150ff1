"""Unit tests of the code, without a container."""

import unittest

from app import answer


class AnswerTest(unittest.TestCase):
    """Tests of the service's answers."""

    def test_is_healthy(self) -> None:
        """The health check passes."""
        self.assertEqual(answer("/health"), (200, {"status": "ok"}))

    def test_other_paths_are_not_found(self) -> None:
        """The answer is 404."""
        self.assertEqual(answer("/elsewhere")[0], 404)


if __name__ == "__main__":
    unittest.main()
