import { setTimeout } from "node:timers/promises";

import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import { z } from "zod";

/** The check of each service that requests need. It rejects if the service does not answer. */
export type Checks = Record<string, () => Promise<unknown>>;

const Readiness = z.object({
  status: z.enum(["ready", "not ready"]),
  failing: z.array(z.string()),
});

interface Options {
  checks: Checks;
  /** In milliseconds. */
  timeout?: number;
}

/** Readiness: whether the services that requests need answer. `/health` contacts none of them. */
export const readyRoutes: FastifyPluginCallbackZod<Options> = (app, options, done) => {
  const { checks, timeout = 2000 } = options;

  async function tooLate(): Promise<never> {
    await setTimeout(timeout, undefined, { ref: false });
    throw new Error(`no answer within ${timeout} ms`);
  }

  app.get(
    "/ready",
    {
      logLevel: "warn",
      schema: {
        summary: "Report whether the services that requests need answer",
        response: { 200: Readiness, 503: Readiness },
      },
    },
    async (request, reply) => {
      const failing: string[] = [];
      await Promise.all(
        Object.entries(checks).map(async ([name, check]) => {
          try {
            await Promise.race([check(), tooLate()]);
          } catch (error) {
            // The log has the reason. The response does not, because anyone may read it.
            request.log.warn(error, `not ready: ${name}`);
            failing.push(name);
          }
        }),
      );
      if (failing.length === 0) return { status: "ready" as const, failing };
      return reply.code(503).send({ status: "not ready", failing: failing.sort() });
    },
  );
  done();
};
