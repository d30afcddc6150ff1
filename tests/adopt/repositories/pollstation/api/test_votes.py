import unittest

import resp
import votes


class TestVotes(unittest.TestCase):
    def test_line(self):
        self.assertEqual(votes.parse({"voter": " kim ", "choice": "tabs"}), "kim=tabs")

    def test_anonymous(self):
        with self.assertRaises(votes.BadVote):
            votes.parse({"choice": "tabs"})

    def test_other_choice(self):
        with self.assertRaisesRegex(votes.BadVote, "tabs, spaces"):
            votes.parse({"voter": "kim", "choice": "both"})

    def test_shares(self):
        self.assertEqual(votes.shares({"tabs": 1, "spaces": 3}), {"tabs": 25, "spaces": 75})

    def test_nobody_voted(self):
        self.assertEqual(votes.shares({}), {"tabs": 0, "spaces": 0})


class TestResp(unittest.TestCase):
    def test_pack_counts_bytes(self):
        self.assertEqual(resp.pack(["é"]), b"*1\r\n$2\r\n\xc3\xa9\r\n")
