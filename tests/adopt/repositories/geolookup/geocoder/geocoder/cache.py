import os

import redis

_client = redis.Redis.from_url(os.environ.get("KV_URL", "redis://localhost:6379/2"), decode_responses=True)


def remember(locator):
    """How often this locator was looked up, including now."""
    return _client.hincrby(os.environ.get("KV_PREFIX", "geo") + ":hits", locator, 1)


def top(n):
    hits = _client.hgetall(os.environ.get("KV_PREFIX", "geo") + ":hits")
    return sorted(hits, key=lambda l: -int(hits[l]))[:n]
