'use strict';
const http = require('node:http');
const { randomUUID } = require('node:crypto');
const { isValid } = require('./card');

http.createServer(async (req, res) => {
  let raw = '';
  for await (const chunk of req) raw += chunk;
  const { card, amount } = JSON.parse(raw || '{}');
  if (!isValid(String(card))) {
    res.statusCode = 402;
    return res.end(JSON.stringify({ error: 'card refused' }));
  }
  console.log(`charged ${amount}`);
  res.end(JSON.stringify({ transaction: randomUUID() }));
}).listen(process.env.PORT || 50052);
