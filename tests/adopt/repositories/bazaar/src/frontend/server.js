'use strict';
const http = require('node:http');
const fs = require('node:fs');
const path = require('node:path');
const { fill, list, escape } = require('./render');

const home = fs.readFileSync(path.join(__dirname, 'templates/home.html'), 'utf8');
const env = process.env;
const addr = {
  catalog: env.CATALOG_ADDR || 'localhost:3550',
  ads: env.ADS_ADDR || 'localhost:8082',
  ratings: env.RATINGS_ADDR || 'localhost:8090',
  search: env.SEARCH_ADDR || 'localhost:8085',
  basket: env.BASKET_ADDR || 'localhost:7070',
  checkout: env.CHECKOUT_ADDR || 'localhost:5050',
};
const call = async (name, url, body) => {
  const res = await fetch(`http://${addr[name]}${url}`, body && { method: 'POST', body });
  return res.json();
};

async function route(req, body) {
  const url = new URL(req.url, 'http://x');
  if (url.pathname === '/_healthz') return 'ok';
  if (url.pathname === '/') {
    const [products, ad] = await Promise.all([call('catalog', '/products'), call('ads', '/')]);
    return fill(home, { products: list(products), ad: escape(ad.text) });
  }
  if (url.pathname === '/search') return list(await call('search', `/search${url.search}`));
  if (url.pathname === '/cart/checkout') return JSON.stringify(await call('checkout', '/orders', body));
  const [, what, id] = url.pathname.split('/');
  if (what === 'cart') return JSON.stringify(await call('basket', `/basket/${id}`, body));
  if (what === 'product') {
    const [product, rating] = await Promise.all([
      call('catalog', `/products/${id}`), call('ratings', `/ratings/${id}`)]);
    return `<h1>${escape(product.name)}</h1><p>${rating.average ?? 'not rated'}</p>`;
  }
}

http.createServer(async (req, res) => {
  let body = '';
  for await (const chunk of req) body += chunk;
  try {
    const text = await route(req, body || undefined);
    res.statusCode = text === undefined ? 404 : 200;
    res.end(text);
  } catch (e) {
    res.statusCode = 502;
    res.end(e.message);
  }
}).listen(env.PORT || 8080);
