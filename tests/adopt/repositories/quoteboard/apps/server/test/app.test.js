import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { createApp } from '../src/app.js';

describe('app', () => {
  const quotes = [{ id: 1, text: 'a', author: 'b' }];
  const store = { quotes, add: (quote) => quotes[quotes.push({ id: 2, ...quote }) - 1] };
  const server = createApp(store, () => new Date(0));
  let url;

  before(async () => {
    await new Promise((resolve) => server.listen(0, resolve));
    url = `http://localhost:${server.address().port}`;
  });
  after(() => server.close());

  it('is healthy', async () => {
    assert.deepEqual(await (await fetch(`${url}/healthz`)).json(), { quotes: 1 });
  });

  it('has a quote today', async () => {
    assert.equal((await (await fetch(`${url}/quotes/today`)).json()).text, 'a');
  });

  it('adds clean quotes', async () => {
    const res = await fetch(`${url}/quotes`, { method: 'POST', body: '{"text": " c  d "}' });
    assert.equal(res.status, 201);
    assert.deepEqual(await res.json(), { id: 2, text: 'c d', author: 'unknown' });
  });

  it('refuses empty ones', async () => {
    const res = await fetch(`${url}/quotes`, { method: 'POST', body: '{}' });
    assert.equal(res.status, 422);
  });
});
