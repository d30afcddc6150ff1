import io

import tally


def test_split():
    assert tally.split("kim=tabs") == ("kim", "tabs")


def test_split_keeps_equal_signs_in_names():
    assert tally.split("a=b=spaces") == ("a=b", "spaces")


def test_read_reply():
    assert tally.read_reply(io.BytesIO(b"*2\r\n$5\r\nvotes\r\n$8\r\nkim=tabs\r\n")) == ["votes", "kim=tabs"]
