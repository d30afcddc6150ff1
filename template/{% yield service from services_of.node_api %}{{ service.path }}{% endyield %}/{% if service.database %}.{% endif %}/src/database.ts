import { readFile } from "node:fs/promises";

import { Kysely, PostgresDialect, type Generated } from "kysely";
import { Client, DatabaseError, Pool, type ClientConfig } from "pg";
import { parseIntoClientConfig } from "pg-connection-string";

/** The tables, as the migrations create them. */
export interface Tables {
  items: {
    id: Generated<number>;
    name: string;
    created_at: Generated<Date>;
  };
}

/** Opens the database. It connects at the first query. */
export function openDatabase(url: string, passwordFile?: string): Kysely<Tables> {
  const options = passwordFile ? withPasswordIn(passwordFile, url) : { connectionString: url };
  const pool = new Pool({ ...options, connectionTimeoutMillis: 5000 });
  // A restart of the database cuts idle connections. The pool replaces them, but without a
  // listener the event would end this process.
  pool.on("error", (error) => {
    console.warn(`An idle database connection was lost: ${error.message}`);
  });
  // If the password changes at this moment, the second attempt has the new one.
  const connect = () =>
    pool.connect().catch((error: unknown) => {
      if (error instanceof DatabaseError && error.code === "28P01") return pool.connect();
      throw error;
    });
  return new Kysely({
    dialect: new PostgresDialect({
      pool: { connect, end: () => pool.end(), options: pool.options },
      controlClient: Client,
    }),
  });
}

/** Returns the options for a database whose address has no password. */
function withPasswordIn(file: string, url: string): ClientConfig {
  const server = parseIntoClientConfig(url);
  const password = passwordIn(file, async (password) => {
    const client = new Client({ ...server, password, connectionTimeoutMillis: 5000 });
    client.on("error", () => undefined);
    const accepted = await client.connect().then(
      () => true,
      () => false,
    );
    await client.end();
    return accepted;
  });
  return { ...server, password };
}

/**
 * Returns a function that reads the password in a file for each new connection, because it may
 * change while the service runs. If the server does not accept a new password yet, the function
 * returns the last one.
 */
export function passwordIn(file: string, isAccepted: (password: string) => Promise<boolean>) {
  let last: string | undefined;
  return async () => {
    const password = (await readFile(file, "utf8")).trim();
    if (last === undefined || password === last || (await isAccepted(password))) last = password;
    return last;
  };
}
