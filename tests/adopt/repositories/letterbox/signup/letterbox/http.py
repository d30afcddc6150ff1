import os
from urllib.parse import parse_qs, quote, urlsplit
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from letterbox import mail, memcache, tokens

SECRET = os.environ.get('LETTERBOX_SECRET', 'not very secret')
LIMIT = 3  # mails per address and hour


def subscribe(address, base, count=memcache.increment, send=mail.send):
    if not tokens.looks_like_address(address):
        return 400, 'That is not an address.\n'
    if count('mails:' + address, 3600) > LIMIT:
        return 429, 'Too many mails, try again in an hour.\n'
    token = tokens.make(SECRET, address)
    send(mail.confirmation(address, f'{base}/confirm?address={quote(address)}&token={token}'))
    return 202, 'Look into your inbox.\n'


def confirm(address, token):
    return (200, 'Welcome!\n') if tokens.check(SECRET, address, token) else (403, 'Wrong link.\n')


class Handler(BaseHTTPRequestHandler):
    def reply(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def query(self, text):
        return {k: v[0] for k, v in parse_qs(text).items()}

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == '/confirm':
            query = self.query(url.query)
            self.reply(*confirm(query.get('address', ''), query.get('token', '')))
        elif url.path == '/-/ready':
            self.reply(200, 'ready\n')
        else:
            self.reply(404, 'Nothing here.\n')

    def do_POST(self):
        form = self.query(self.rfile.read(int(self.headers['Content-Length'] or 0)).decode())
        self.reply(*subscribe(form.get('address', ''), 'http://' + self.headers['Host']))


def serve():
    ThreadingHTTPServer(('0.0.0.0', 9090), Handler).serve_forever()
