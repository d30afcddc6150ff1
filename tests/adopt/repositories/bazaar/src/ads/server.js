'use strict';
const http = require('node:http');

const ads = [
  { text: 'Watch for sale. 20% off.', product: 'p3' },
  { text: 'Candle holder for sale. Buy one, get one.', product: 'p5' },
];

http.createServer((req, res) => {
  res.end(JSON.stringify(ads[Math.floor(Math.random() * ads.length)]));
}).listen(8080);
