'use strict';
const { test } = require('node:test');
const assert = require('node:assert');
const { fill, list, escape } = require('./render');

test('fill', () => assert.strictEqual(fill('a{{x}}{{y}}', { x: 1 }), 'a1'));
test('escape', () => assert.strictEqual(escape('<b>'), '&#60;b&#62;'));
test('list', () => assert.match(list([{ id: 'p1', name: 'Hat', priceUsd: 3 }]), /product\/p1.*Hat.*\$3/));
