"""POST /orders {"user", "email", "currency", "card"}: charges and empties the basket."""
import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDR = {name: 'http://' + os.environ.get(name.upper() + '_ADDR', default) for name, default in {
    'basket': 'localhost:7070', 'catalog': 'localhost:3550', 'currency': 'localhost:7000',
    'shipping': 'localhost:50051', 'payments': 'localhost:50052', 'mailer': 'localhost:8081',
}.items()}


def fetch(service, path, body=None, method=None):
  data = None if body is None else json.dumps(body).encode()
  request = urllib.request.Request(ADDR[service] + path, data, method=method)
  with urllib.request.urlopen(request, timeout=5) as response:
    return json.load(response)


def place(order, fetch=fetch):
  basket = fetch('basket', '/basket/' + order['user'])
  if not basket:
    return {'error': 'empty basket'}
  total = sum(fetch('catalog', '/products/' + p)['priceUsd'] * n for p, n in basket.items())
  total += fetch('shipping', '/quote', {'items': sum(basket.values())})['costUsd']
  converted = fetch('currency', '/convert?to=%s&amount=%.2f' % (order['currency'], total))
  charge = fetch('payments', '/charge', {'card': order['card'], 'amount': converted['amount']})
  fetch('basket', '/basket/' + order['user'], method='DELETE')
  fetch('mailer', '/confirm', {'to': order['email'], 'transaction': charge['transaction']})
  return {'transaction': charge['transaction'], 'total': converted['amount']}


class Handler(BaseHTTPRequestHandler):
  def do_POST(self):
    order = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
    try:
      status, body = 200, place(order)
    except Exception as e:
      status, body = 502, {'error': str(e)}
    self.send_response(status)
    self.end_headers()
    self.wfile.write(json.dumps(body).encode())


if __name__ == '__main__':
  ThreadingHTTPServer(('', int(os.environ.get('PORT', '5050'))), Handler).serve_forever()
