'use strict';
const { test } = require('node:test');
const assert = require('node:assert');
const { isValid } = require('./card');

test('accepts a valid card', () => assert.ok(isValid('4111111111111111')));
test('refuses a wrong check digit', () => assert.ok(!isValid('4111111111111112')));
test('refuses letters', () => assert.ok(!isValid('4111-1111-1111-1111')));
