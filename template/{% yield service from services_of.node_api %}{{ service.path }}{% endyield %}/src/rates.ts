import createError from "@fastify/error";
import type { FastifyPluginCallbackZod } from "fastify-type-provider-zod";
import { z } from "zod";

import { requestIdHeader } from "./request-id.ts";

const Rate = z.object({ currency: z.string(), rate: z.number() });

const ExternalRates = z.object({ rates: z.record(z.string(), z.number()) });

/** What one euro is worth, by currency code. */
export type Rates = z.infer<typeof ExternalRates>["rates"];

const RatesUnavailable = createError("RATES_UNAVAILABLE", "the rates are not available now", 502);
const UnknownCurrency = createError<[string]>("UNKNOWN_CURRENCY", "no such currency: %s", 404);

/** Requests all rates from the external API. */
export async function fetchRates(baseUrl: string): Promise<Rates> {
  try {
    const response = await fetch(`${baseUrl}/EUR`, {
      headers: requestIdHeader(),
      signal: AbortSignal.timeout(5000),
    });
    if (!response.ok) throw new Error(`the external API answered ${response.status}`);
    return ExternalRates.parse(await response.json()).rates;
  } catch (cause) {
    throw new RatesUnavailable({ cause });
  }
}

interface Options {
  getRates: () => Promise<Rates>;
}

/** Exchange rates of the euro. */
export const rateRoutes: FastifyPluginCallbackZod<Options> = (app, { getRates }, done) => {
  app.get(
    "/:currency",
    {
      schema: {
        summary: "Get what one euro is worth in a currency",
        tags: ["rates"],
        params: z.object({ currency: z.string().max(10) }),
        response: { 200: Rate },
      },
    },
    async (request) => {
      const currency = request.params.currency.toUpperCase();
      const rate = (await getRates())[currency];
      if (rate === undefined) throw new UnknownCurrency(currency);
      return { currency, rate };
    },
  );
  done();
};
