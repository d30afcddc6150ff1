'use strict';

const escape = (s) => String(s).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

exports.fill = (template, values) =>
  template.replace(/\{\{(\w+)\}\}/g, (_, name) => values[name] ?? '');

exports.list = (products) =>
  products.map((p) => `<li><a href="/product/${p.id}">${escape(p.name)}</a> $${p.priceUsd}</li>`).join('');

exports.escape = escape;
