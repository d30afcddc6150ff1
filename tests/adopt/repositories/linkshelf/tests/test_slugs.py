import pytest

from linkshelf.slugs import slugify, unique


@pytest.mark.parametrize(
    "title, slug",
    [
        ("Hello, World", "hello-world"),
        ("Crème brûlée", "creme-brulee"),
        ("  --  ", "link"),
        ("日本", "link"),
    ],
)
def test_slugify(title, slug):
    assert slugify(title) == slug


def test_unique_counts_up():
    assert unique("a", {"a", "a-2"}) == "a-3"


def test_unique_keeps_a_free_slug():
    assert unique("b", {"a"}) == "b"
