'use strict';
const http = require('node:http');
const { convert } = require('./rates');

http.createServer((req, res) => {
  const { searchParams } = new URL(req.url, 'http://x');
  try {
    const amount = convert(Number(searchParams.get('amount')), searchParams.get('to'));
    res.end(JSON.stringify({ amount }));
  } catch (e) {
    res.statusCode = 400;
    res.end(JSON.stringify({ error: e.message }));
  }
}).listen(process.env.PORT || 7000);
