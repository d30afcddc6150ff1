"""GET /basket/USER, POST /basket/USER {"product", "quantity"}, DELETE /basket/USER."""
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import store


class Handler(BaseHTTPRequestHandler):
  def reply(self, body, status=200):
    self.send_response(status)
    self.end_headers()
    self.wfile.write(json.dumps(body).encode())

  def user(self):
    return self.path.rsplit('/', 1)[-1]

  def do_GET(self):
    self.reply(store.get(self.user()))

  def do_POST(self):
    item = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
    store.add(self.user(), item['product'], item.get('quantity', 1))
    self.reply(store.get(self.user()))

  def do_DELETE(self):
    store.empty(self.user())
    self.reply({})


if __name__ == '__main__':
  ThreadingHTTPServer(('', int(os.environ.get('PORT', '7070'))), Handler).serve_forever()
