import io
import unittest

import store


class RespTest(unittest.TestCase):
  def test_encode(self):
    self.assertEqual(store.encode('GET', 'a'), b'*2\r\n$3\r\nGET\r\n$1\r\na\r\n')

  def test_decode_list(self):
    reply = io.BytesIO(b'*2\r\n$2\r\np1\r\n$1\r\n3\r\n')
    self.assertEqual(store.decode(reply), ['p1', '3'])

  def test_decode_error(self):
    with self.assertRaises(RuntimeError):
      store.decode(io.BytesIO(b'-ERR wrong type\r\n'))


def redis_is_up():
  try:
    return store.call('PING') == 'PONG'
  except OSError:
    return False


class RedisTest(unittest.TestCase):
  """Needs a Redis: docker run -p 6379:6379 redis, or REDIS_ADDR."""

  def setUp(self):
    if not redis_is_up():
      self.skipTest('no redis at %s:%s' % (store.HOST, store.PORT))

  def test_add_twice(self):
    store.empty('unittest')
    store.add('unittest', 'p1', 1)
    store.add('unittest', 'p1', 2)
    self.assertEqual(store.get('unittest'), {'p1': 3})


if __name__ == '__main__':
  unittest.main()
