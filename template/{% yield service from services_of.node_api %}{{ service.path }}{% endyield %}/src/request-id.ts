import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";

import type { FastifyInstance } from "fastify";

const header = "x-request-id";

const requestIds = new AsyncLocalStorage<string>();

/** Returns the id in the header of a request, or a new one if the id is missing or invalid. */
export function newRequestId({ headers }: Pick<IncomingMessage, "headers">): string {
  const given = headers[header];
  return typeof given === "string" && /^[0-9A-Za-z._-]{1,64}$/.test(given) ? given : randomUUID();
}

/** Returns the header that passes the id of the current request to another service. */
export function requestIdHeader(): Record<string, string> {
  const id = requestIds.getStore();
  return id === undefined ? {} : { [header]: id };
}

/** Adds the id of a request to its response, and makes it available to its handler. */
export function passRequestIds(app: FastifyInstance): void {
  app.addHook("onRequest", (request, reply, done) => {
    reply.header(header, request.id);
    done();
  });
  // Not earlier, because reading the body of a request would lose the id.
  app.addHook("preHandler", (request, _, done) => {
    requestIds.run(request.id, done);
  });
}
