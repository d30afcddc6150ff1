'use strict';
const { test } = require('node:test');
const assert = require('node:assert');
const match = require('./match');

const products = [{ id: 1, name: 'Tank Top', tags: ['summer'] }, { id: 2, name: 'Watch', tags: [] }];

test('by name', () => assert.deepStrictEqual(match(products, 'watch').map((p) => p.id), [2]));
test('by tag and name', () => assert.deepStrictEqual(match(products, 'summer top').length, 1));
test('no words match all', () => assert.strictEqual(match(products, ' ').length, 2));
