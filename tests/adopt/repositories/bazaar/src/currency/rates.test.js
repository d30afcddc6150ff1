'use strict';
const test = require('node:test');
const assert = require('node:assert');
const { convert, currencies } = require('./rates');

test('dollars stay dollars', () => assert.strictEqual(convert(12.3, 'USD'), 12.3));
test('yen have no decimals', () => assert.strictEqual(convert(1.01, 'JPY'), 151));
test('unknown currency', () => assert.throws(() => convert(1, 'XXX'), RangeError));
test('list', () => assert.deepStrictEqual(currencies, ['USD', 'EUR', 'JPY', 'GBP']));
