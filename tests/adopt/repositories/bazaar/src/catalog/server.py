"""Product catalog."""
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HERE = os.path.dirname(os.path.abspath(__file__))


def load_products():
  with open(os.path.join(HERE, 'products.json')) as f:
    return {p['id']: p for p in json.load(f)}


PRODUCTS = load_products()


def lookup(path):
  """Returns (status, body) for a request path."""
  if path == '/products':
    return 200, list(PRODUCTS.values())
  product = PRODUCTS.get(path.rsplit('/', 1)[-1])
  return (200, product) if product else (404, {'error': 'no such product'})


class Handler(BaseHTTPRequestHandler):
  def do_GET(self):
    status, body = lookup(self.path)
    self.send_response(status)
    self.send_header('Content-Type', 'application/json')
    self.end_headers()
    self.wfile.write(json.dumps(body).encode())


if __name__ == '__main__':
  ThreadingHTTPServer(('', int(os.environ.get('PORT', '3550'))), Handler).serve_forever()
