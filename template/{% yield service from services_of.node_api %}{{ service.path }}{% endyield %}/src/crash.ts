/** Logs the error that ends this process as one line of JSON, unless LOG_FORMAT is "text". */
function logCrash(error: unknown): void {
  // The other listener is that of close-with-grace, which logs the error and stops the service.
  if (process.listenerCount("uncaughtException") > 1) return;
  const { name: type, message, stack } = error instanceof Error ? error : new Error(String(error));
  const err = { type, message, stack };
  console.log(JSON.stringify({ level: 60, time: Date.now(), pid: process.pid, err, msg: message }));
  process.exit(1);
}

if (process.env.LOG_FORMAT !== "text") process.on("uncaughtException", logCrash);
