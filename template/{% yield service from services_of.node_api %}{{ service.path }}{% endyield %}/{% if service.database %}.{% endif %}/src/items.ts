import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import type { Kysely } from "kysely";
import { z } from "zod";

import type { Tables } from "./database.ts";

const NewItem = z.object({
  name: z
    .string()
    .trim()
    .min(1)
    .max(200)
    // PostgreSQL can store neither NUL nor half of a surrogate pair.
    .regex(/^[^\0\p{Surrogate}]*$/u, "must not contain NUL or a lone surrogate"),
});

const Page = z.object({
  limit: z.coerce.number().int().min(1).max(100).default(100),
  after: z.coerce.number().int().min(0).max(2_147_483_647).default(0),
});

export type Page = z.infer<typeof Page>;

const Item = z.object({ id: z.int(), name: z.string(), created_at: z.date() });

export type Item = z.infer<typeof Item>;

/** Where items are stored. */
export interface ItemStore {
  add(name: string): Promise<Item>;
  /** Returns some items, the oldest first, of those after an id. */
  list(page: Page): Promise<Item[]>;
}

/** Stores items in the database. */
export function itemStore(database: Kysely<Tables>): ItemStore {
  return {
    add: (name) =>
      database.insertInto("items").values({ name }).returningAll().executeTakeFirstOrThrow(),
    list: ({ limit, after }) =>
      database
        .selectFrom("items")
        .selectAll()
        .where("id", ">", after)
        .orderBy("id")
        .limit(limit)
        .execute(),
  };
}

interface Options {
  items: ItemStore;
}

/** Routes to store and list items. */
export const itemRoutes: FastifyPluginCallbackZod<Options> = (app, { items }, done) => {
  app.post(
    "",
    {
      schema: {
        summary: "Store an item",
        tags: ["items"],
        body: NewItem,
        response: { 201: Item },
      },
    },
    async (request, reply) => reply.code(201).send(await items.add(request.body.name)),
  );

  app.get(
    "",
    {
      schema: {
        summary: "List the items. For the next page, `after` is the last id of this one",
        tags: ["items"],
        querystring: Page,
        response: { 200: z.array(Item) },
      },
    },
    (request) => items.list(request.query),
  );
  done();
};
