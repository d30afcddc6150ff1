"""Browses the shop like a bored customer."""
import os
import random
import time
import urllib.request

FRONTEND = 'http://' + os.environ['FRONTEND_ADDR']
PAUSE = float(os.environ.get('PAUSE', '2'))

while True:
  path = random.choice(['/', '/', '/product/p1', '/product/p2', '/search?q=watch'])
  try:
    with urllib.request.urlopen(FRONTEND + path, timeout=5) as response:
      print(path, response.status)
  except OSError as e:
    print(path, e)
  time.sleep(PAUSE)
