"""Baskets in Redis hashes. Speaks just enough RESP to avoid a client library."""
import os
import socket

HOST, _, PORT = os.environ.get('REDIS_ADDR', 'localhost:6379').partition(':')


def encode(*words):
  parts = [b'*%d\r\n' % len(words)]
  for word in words:
    raw = str(word).encode()
    parts.append(b'$%d\r\n%s\r\n' % (len(raw), raw))
  return b''.join(parts)


def decode(f):
  kind, rest = f.read(1), f.readline()[:-2]
  if kind == b'*':
    return [decode(f) for _ in range(int(rest))]
  if kind == b'$':
    return None if rest == b'-1' else f.read(int(rest) + 2)[:-2].decode()
  if kind == b'-':
    raise RuntimeError(rest.decode())
  return int(rest) if kind == b':' else rest.decode()


def call(*words):
  with socket.create_connection((HOST, int(PORT or 6379)), timeout=3) as s, s.makefile('rb') as f:
    s.sendall(encode(*words))
    return decode(f)


def add(user, product, quantity):
  return call('HINCRBY', 'basket:' + user, product, quantity)


def get(user):
  flat = call('HGETALL', 'basket:' + user)
  return {k: int(v) for k, v in zip(flat[::2], flat[1::2])}


def empty(user):
  call('DEL', 'basket:' + user)
