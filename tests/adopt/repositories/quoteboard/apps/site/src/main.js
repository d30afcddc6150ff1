import { createServer } from 'node:http';
import { page } from './page.js';

const upstream = process.env.SERVER_ORIGIN ?? 'http://localhost:4000';

createServer(async (req, res) => {
  try {
    if (req.url.startsWith('/quotes')) {
      const body = req.method === 'POST' ? req : undefined;
      const answer = await fetch(upstream + req.url, { method: req.method, body, duplex: 'half' });
      res.writeHead(answer.status, { 'content-type': 'application/json' });
      res.end(await answer.text());
    } else if (req.url === '/') {
      const today = await (await fetch(`${upstream}/quotes/today`)).json();
      res.writeHead(200, { 'content-type': 'text/html' });
      res.end(page(today));
    } else {
      res.writeHead(404).end();
    }
  } catch (error) {
    console.error(error);
    res.writeHead(502).end('no server');
  }
}).listen(4173);
