import re
import unicodedata


def slugify(title: str) -> str:
    """
    >>> slugify("Crème brûlée, twice!")
    'creme-brulee-twice'
    """
    ascii_only = (
        unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    )
    return re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-") or "link"


def unique(slug: str, taken: set[str]) -> str:
    n, candidate = 2, slug
    while candidate in taken:
        candidate = f"{slug}-{n}"
        n += 1
    return candidate
