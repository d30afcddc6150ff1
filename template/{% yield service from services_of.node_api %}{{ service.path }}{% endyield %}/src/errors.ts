import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";

/** Answers every error as `{"detail": …}`; an invalid request gets 422 and a list of its faults. */
export function errorHandler(
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  if (error.validation) {
    const part = error.validationContext ?? "request";
    const faults = error.validation.map(({ keyword, instancePath, message }) => ({
      type: keyword,
      loc: [part, ...instancePath.split("/").filter(Boolean)],
      msg: message,
    }));
    return reply.code(422).send({ detail: faults });
  }
  // An error without a status is a fault of this service, and its message may reveal internals.
  const status = error.statusCode ?? 500;
  const detail = error.statusCode ? error.message : "Internal Server Error";
  if (status >= 500) request.log.error(error);
  // Fastify answers 400 if it cannot parse a body. All invalid requests get 422, this one too.
  return reply.code(status === 400 ? 422 : status).send({ detail });
}
