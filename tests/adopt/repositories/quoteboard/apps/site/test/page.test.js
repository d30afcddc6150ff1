import test from 'node:test';
import assert from 'node:assert/strict';
import { page } from '../src/page.js';

test('escapes', () => {
  const html = page({ text: '1 < 2 & 3', author: 'A' });
  assert.match(html, /<blockquote>1 &lt; 2 &amp; 3<\/blockquote>/);
});

test('names the author', () => assert.match(page({ text: 'x', author: 'Ada' }), /<cite>Ada<\/cite>/));
