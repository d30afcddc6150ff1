import { createServer } from 'node:http';
import { clean, ofTheDay } from '@quoteboard/quotes';

const json = (res, status, body) => {
  res.writeHead(status, { 'content-type': 'application/json' });
  res.end(JSON.stringify(body));
};

export function createApp(store, now = () => new Date()) {
  return createServer(async (req, res) => {
    const route = `${req.method} ${req.url}`;
    if (route === 'GET /healthz') return json(res, 200, { quotes: store.quotes.length });
    if (route === 'GET /quotes') return json(res, 200, store.quotes);
    if (route === 'GET /quotes/today') return json(res, 200, ofTheDay(store.quotes, now()));
    if (route === 'POST /quotes') {
      let text = '';
      for await (const chunk of req) text += chunk;
      try {
        return json(res, 201, store.add(clean(JSON.parse(text))));
      } catch (error) {
        return json(res, 422, { message: error.message });
      }
    }
    json(res, 404, { message: 'not found' });
  });
}
