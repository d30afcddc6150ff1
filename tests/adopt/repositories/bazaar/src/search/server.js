'use strict';
const http = require('node:http');
const match = require('./match');

const catalog = `http://${process.env.CATALOG_ADDR || 'localhost:3550'}/products`;

http.createServer(async (req, res) => {
  const query = new URL(req.url, 'http://x').searchParams.get('q') || '';
  const products = await (await fetch(catalog)).json();
  res.end(JSON.stringify(match(products, query)));
}).listen(process.env.PORT || 8085);
