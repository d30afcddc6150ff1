import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { clean, ofTheDay } from './index.js';

describe('clean', () => {
  it('collapses white space', () => {
    assert.deepEqual(clean({ text: ' a\n b ', author: ' C ' }), { text: 'a b', author: 'C' });
  });
  it('knows no author', () => assert.equal(clean({ text: 'a' }).author, 'unknown'));
  it('needs a text', () => assert.throws(() => clean({ author: 'x' }), /text is required/));
  it('limits the length', () => assert.throws(() => clean({ text: 'x'.repeat(281) }), RangeError));
});

describe('ofTheDay', () => {
  it('stays the same for a day', () => {
    const quotes = ['a', 'b', 'c'];
    const morning = ofTheDay(quotes, new Date('2024-03-01T06:00:00Z'));
    const evening = ofTheDay(quotes, new Date('2024-03-01T23:00:00Z'));
    const tomorrow = ofTheDay(quotes, new Date('2024-03-02T06:00:00Z'));
    assert.equal(morning, evening);
    assert.notEqual(morning, tomorrow);
  });
});
