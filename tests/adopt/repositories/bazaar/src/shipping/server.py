import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer


def quote(items):
  """Shipping cost in USD: 4.99 flat, free from five items."""
  return 0.0 if items >= 5 or items == 0 else 4.99


class Handler(BaseHTTPRequestHandler):
  def do_POST(self):
    body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
    self.send_response(200)
    self.end_headers()
    self.wfile.write(json.dumps({'costUsd': quote(body['items'])}).encode())


if __name__ == '__main__':
  HTTPServer(('', int(os.environ.get('PORT', '50051'))), Handler).serve_forever()
