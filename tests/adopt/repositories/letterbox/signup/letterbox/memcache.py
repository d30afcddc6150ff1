"""The memcached text protocol: counters only."""
import os
import socket

SERVERS = os.environ.get('MEMCACHED_SERVERS', 'localhost:11211')


def _talk(command):
    host, _, port = SERVERS.partition(':')
    with socket.create_connection((host, int(port or 11211)), timeout=2) as s:
        s.sendall(command)
        return s.makefile('rb').readline().strip()


def increment(key, ttl):
    """Count up and return the new value; a new counter lives for ttl seconds."""
    answer = _talk(b'incr %s 1\r\n' % key.encode())
    if answer == b'NOT_FOUND':
        _talk(b'add %s 0 %d 1\r\n1\r\n' % (key.encode(), ttl))
        return 1
    return int(answer)
