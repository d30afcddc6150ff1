// BASE_URL=http://… npm run test:integration
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

const BASE_URL = process.env.BASE_URL ?? 'http://localhost:4173';

describe('board', () => {
  it('shows the quote of the day', async () => {
    const html = await (await fetch(BASE_URL)).text();
    assert.match(html, /<blockquote>.+<\/blockquote>/);
  });

  it('keeps a new quote', async () => {
    const text = `quote ${randomUUID()}`;
    const created = await fetch(`${BASE_URL}/quotes`, { method: 'POST', body: JSON.stringify({ text }) });
    assert.equal(created.status, 201);
    const all = await (await fetch(`${BASE_URL}/quotes`)).json();
    assert.ok(all.some((quote) => quote.text === text));
  });

  it('refuses an empty quote', async () => {
    const refused = await fetch(`${BASE_URL}/quotes`, { method: 'POST', body: '{}' });
    assert.equal(refused.status, 422);
  });
});
