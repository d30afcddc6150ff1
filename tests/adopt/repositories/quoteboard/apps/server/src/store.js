import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Quotes in a JSON file. Fine for one process. */
export class Store {
  constructor(file, seed = []) {
    this.file = file;
    mkdirSync(dirname(file), { recursive: true });
    try {
      this.quotes = JSON.parse(readFileSync(file, 'utf8'));
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
      this.quotes = seed;
    }
  }

  add(quote) {
    this.quotes.push({ id: this.quotes.length + 1, ...quote });
    writeFileSync(this.file, JSON.stringify(this.quotes, null, 2));
    return this.quotes.at(-1);
  }
}
