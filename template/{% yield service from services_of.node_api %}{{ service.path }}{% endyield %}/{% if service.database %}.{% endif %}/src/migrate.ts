/** Runs the migrations that the database lacks: node src/migrate.ts */
import { promises as fs } from "node:fs";
import path from "node:path";

import type { Kysely } from "kysely";
import { FileMigrationProvider, Migrator } from "kysely/migration";

import { openDatabase, type Tables } from "./database.ts";

/** Runs the migrations that the database lacks, all in one transaction. */
export async function migrate(database: Kysely<Tables>): Promise<void> {
  const migrationFolder = path.join(import.meta.dirname, "migrations");
  const provider = new FileMigrationProvider({ fs, path, migrationFolder });
  const { error, results } = await new Migrator({ db: database, provider }).migrateToLatest();
  for (const { migrationName, status } of results ?? []) console.log(`${migrationName}: ${status}`);
  if (error) throw error as Error;
}

if (import.meta.main) {
  // Not by readSettings, because the container that migrates has no other settings.
  const url = process.env.DATABASE_URL;
  if (!url) throw new Error("DATABASE_URL is not set");
  await using database = openDatabase(url, process.env.DATABASE_PASSWORD_FILE);
  await migrate(database);
}
