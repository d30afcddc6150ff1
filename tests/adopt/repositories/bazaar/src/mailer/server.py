"""Pretends to send confirmation mails: writes them to stdout."""
import json
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
  def do_POST(self):
    mail = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
    print('MAIL to=%(to)s transaction=%(transaction)s' % mail)
    self.send_response(200)
    self.end_headers()
    self.wfile.write(b'{}')


HTTPServer(('', 8080), Handler).serve_forever()
