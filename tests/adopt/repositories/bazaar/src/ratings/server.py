import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

STARS = {'p1': [5, 4, 5], 'p2': [3], 'p3': [4, 4]}


def average(product):
  stars = STARS.get(product)
  return round(sum(stars) / len(stars), 1) if stars else None


class Handler(BaseHTTPRequestHandler):
  def do_GET(self):
    self.send_response(200)
    self.end_headers()
    self.wfile.write(json.dumps({'average': average(self.path.rsplit('/', 1)[-1])}).encode())


if __name__ == '__main__':
  HTTPServer(('', int(os.environ['PORT'])), Handler).serve_forever()
