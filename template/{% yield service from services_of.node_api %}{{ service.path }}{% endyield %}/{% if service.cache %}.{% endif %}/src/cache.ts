import { readFile } from "node:fs/promises";

import { createClient } from "@redis/client";

/** The part of the client that this service uses. */
export interface Cache {
  get(key: string): Promise<string | null>;
  set(key: string, value: string, options: { EX: number }): Promise<unknown>;
}

/** Opens the cache. It connects in the background; until then, and without it, commands fail. */
export function openCache(url: string, passwordFile?: string) {
  const client = createClient({
    url,
    ...(passwordFile && {
      credentialsProvider: {
        type: "async-credentials-provider",
        // Each new connection reads the password, because it may change while the service runs.
        credentials: async () => ({ password: (await readFile(passwordFile, "utf8")).trim() }),
      },
    }),
    socket: { connectTimeout: 1000 },
    commandOptions: { timeout: 1000 },
    disableOfflineQueue: true,
  });
  // Without a listener the event would end this process. The client reconnects by itself.
  client.on("error", (error: Error) => {
    console.warn(`The cache is not available: ${error.message}`);
  });
  // The listener has reported the reason already.
  client.connect().catch(() => undefined);
  return client;
}

/** Returns the cached value, or fetches and caches it. Works without the cache, only slower. */
export async function cached<T>(
  cache: Cache,
  key: string,
  seconds: number,
  fetch: () => Promise<T>,
): Promise<T> {
  const text = await cache.get(key).catch(() => null);
  if (text !== null) return JSON.parse(text) as T;
  const value = await fetch();
  await cache.set(key, JSON.stringify(value), { EX: seconds }).catch(() => null);
  return value;
}
