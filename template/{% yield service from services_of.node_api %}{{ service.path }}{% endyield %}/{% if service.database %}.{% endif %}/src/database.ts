import { Kysely, PostgresDialect, type Generated } from "kysely";
import { Pool } from "pg";

/** The tables, as the migrations create them. */
export interface Tables {
  items: {
    id: Generated<number>;
    name: string;
    created_at: Generated<Date>;
  };
}

/** Opens the database. It connects at the first query. */
export function openDatabase(url: string): Kysely<Tables> {
  const pool = new Pool({ connectionString: url, connectionTimeoutMillis: 5000 });
  // A restart of the database cuts idle connections. The pool replaces them, but without a
  // listener the event would end this process.
  pool.on("error", (error) => {
    console.warn(`An idle database connection was lost: ${error.message}`);
  });
  return new Kysely({ dialect: new PostgresDialect({ pool }) });
}
