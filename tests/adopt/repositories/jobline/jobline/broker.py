import json

import redis

from jobline import settings

QUEUE = "jobline:queue"


def client():
    return redis.Redis.from_url(settings.BROKER_URL, decode_responses=True)


def put(job_id, name, args):
    client().rpush(QUEUE, json.dumps([job_id, name, args]))


def take(connection, timeout=1):
    found = connection.blpop([QUEUE], timeout)
    return json.loads(found[1]) if found else None
