// Kept by the template: copier update merges its changes into this file.
// A Vitest reporter that writes events for the test runner, as JSON lines, to the file TEST_EVENTS.
// The events are those of pytest_events.py. It needs Vitest 3 or later. A service's vite.config.ts
// loads it if TEST_EVENTS_REPORTER is set to the path of this file. It prints nothing and never
// makes a run fail.
import { openSync, readFileSync, writeSync } from "node:fs";
import { isAbsolute, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";

// Limits for a failure: characters of a message and of a line; lines of an excerpt and of captured
// output; number of causes.
const [MESSAGE, WIDTH, EXCERPT, CAPTURED, CAUSES] = [500, 160, 8, 3, 3];
// Limits for the part of a text that is read, a test id (both in characters) and an event (bytes).
const [MAX_TEXT, ID, EVENT] = [100_000, 500, 4000];

export default class EventsReporter {
  #file;
  #vitest;
  #total = 0;
  #files = 0;
  #allFiles = 0;
  #ids = new Map();
  #taken = new Map();
  #printed = new Map();
  #broken = new Set();

  constructor() {
    try {
      this.#file = process.env.TEST_EVENTS && openSync(process.env.TEST_EVENTS, "a");
    } catch {
      // The run goes on without events.
    }
    // A Vitest that a test starts must not write events.
    delete process.env.TEST_EVENTS;
  }

  onInit(vitest) {
    this.#vitest = vitest;
    this.#emit({
      event: "begin",
      tool: "vitest",
      version: vitest.version,
      xdist: false,
      workers: 0,
    });
  }

  onTestRunStart(specifications) {
    this.#total = this.#files = 0;
    this.#allFiles = specifications?.length ?? 0;
    for (const known of [this.#ids, this.#taken, this.#printed, this.#broken]) known.clear();
  }

  // The total grows as Vitest loads the files, so the event also says how many are loaded.
  onTestModuleCollected(module) {
    this.#quietly(() => {
      this.#total += [...module.children.allTests()].length;
      this.#files += 1;
      const of = Math.max(this.#files, this.#allFiles);
      this.#emit({ event: "total", tests: this.#total, files: this.#files, of });
    });
  }

  onTestCaseReady(test) {
    this.#quietly(() => this.#emit({ event: "start", test: this.#id(test) }));
  }

  onUserConsoleLog(log) {
    this.#quietly(() => {
      const lines = textLines(log.content.slice(-4 * WIDTH * CAPTURED));
      const before = this.#printed.get(log.taskId) ?? [];
      this.#printed.set(log.taskId, [...before, ...lines].slice(-CAPTURED));
    });
  }

  // A retried test writes a `rerun` for each earlier failure.
  onTestCaseResult(test) {
    this.#quietly(() => {
      const result = test.result();
      const { duration = 0, retryCount = 0, startTime } = test.diagnostic() ?? {};
      const errors = result.errors ?? [];
      const about = { event: "result", test: this.#id(test) };
      const timed = { phase: "call", seconds: seconds(duration) };
      const { retry = 0 } = test.options ?? {};
      const attempts = 1 + (Number(retry?.count ?? retry) || 0);
      for (let tried = 0; tried < retryCount; tried++) {
        const failure = this.#failure(errors[tried], test);
        this.#emit({ ...about, outcome: "rerun", phase: "call", seconds: 0, attempts, failure });
      }
      if (result.state === "failed") {
        // The later errors of one attempt follow from the first.
        const error = errors[retryCount] ?? errors.at(-1);
        const failure = this.#failure(error, test);
        this.#emit({ ...about, outcome: "failed", ...timed, failure });
      } else if (result.state !== "pending") {
        // `pending` means that `--bail` stopped the run before this test.
        this.#emit({ ...about, outcome: result.state, ...timed });
      }
      const at = startTime && startTime / 1000;
      this.#emit({ event: "finish", test: about.test, seconds: timed.seconds, at });
      this.#printed.delete(test.id);
    });
  }

  // Errors of beforeAll and afterAll.
  onTestSuiteResult(suite) {
    this.#quietly(() => this.#collectErrors(suite));
  }

  onTestModuleEnd(module) {
    this.#quietly(() => this.#collectErrors(module));
  }

  onTestRunEnd(modules, unhandled, reason) {
    this.#quietly(() => {
      // Vitest 3 does not call onTestModuleEnd for a file that cannot be loaded.
      for (const module of modules) this.#collectErrors(module);
      for (const error of unhandled) {
        const failure = this.#failure(error);
        this.#emit({ event: "collect_error", test: "unhandled error", failure });
      }
      const ignored = this.#vitest?.config?.dangerouslyIgnoreUnhandledErrors;
      const failed = reason !== "passed" || (unhandled.length > 0 && !ignored);
      // Without tests, the event has pytest's exit code for this case, 5.
      const nothing = modules.length === 0 && unhandled.length === 0;
      const code = failed || process.exitCode ? 1 : 0;
      this.#emit({ event: "end", exit: code && nothing ? 5 : code });
    });
  }

  #collectErrors(entity) {
    const errors = entity.errors();
    if (!errors.length || this.#broken.has(entity.id)) return;
    this.#broken.add(entity.id);
    const failure = this.#failure(errors[0], entity);
    this.#emit({ event: "collect_error", test: this.#id(entity), failure });
  }

  // `tests/unit/items.test.ts > suite > name`, with a number if the name is not unique.
  #id(entity) {
    const known = this.#ids.get(entity.id);
    if (known) return known;
    const module = this.#relativePath((entity.module ?? entity).moduleId);
    const name = cut(entity.fullName ? `${module} > ${entity.fullName}` : module, ID);
    const count = (this.#taken.get(name) ?? 0) + 1;
    this.#taken.set(name, count);
    const id = count > 1 ? `${name} (${count})` : name;
    this.#ids.set(entity.id, id);
    return id;
  }

  #relativePath(path) {
    const inside = relative(this.#vitest.config.root, path);
    return (inside.startsWith("..") || isAbsolute(inside) ? path : inside).replaceAll("\\", "/");
  }

  // The type, message, location and excerpt of an error. Line 0 means unknown.
  #failure(error, entity) {
    const frame = ownFrame(error, this.#vitest.config.root);
    const path = frame?.file ?? (entity?.module ?? entity)?.moduleId ?? error?.VITEST_TEST_PATH;
    const line = frame?.line ?? lineIn(error, path && this.#relativePath(path)) ?? 0;
    const source = sourceLine(path, line);
    const causes = [];
    for (let one = error?.cause; one && causes.length < CAUSES; one = one.cause) {
      causes.unshift(`E   ${textLines(errorText(one))[0] ?? ""}`);
    }
    const message = textLines(errorText(error));
    const difference = textLines(error?.diff ?? "");
    const excerpt = [...causes, ...(source ? [`>   ${source}`] : [])];
    const room = EXCERPT - excerpt.length;
    const lines = withoutContext([...message, ...difference], room);
    excerpt.push(...lines.map((one) => `E   ${one}`));
    return {
      type: error?.name ?? "",
      message: cut(clean(String(error?.message ?? "")).trim(), MESSAGE),
      path: path ? this.#relativePath(path) : "",
      line,
      excerpt: excerpt.map((one) => cut(one, WIDTH)),
      captured: (entity && this.#printed.get(entity.id)) ?? [],
    };
  }

  #emit(event) {
    if (this.#file === undefined || this.#file === "") return;
    try {
      writeSync(this.#file, encoded(event));
    } catch {
      this.#file = undefined;
    }
  }

  #quietly(record) {
    try {
      record();
    } catch {
      // An error in this reporter must not break the run.
    }
  }
}

function errorText(error) {
  const message = String(error?.message ?? "");
  return error?.name ? `${error.name}: ${message}` : message;
}

// The innermost frame in the project's own code. Errors outside of tests have no parsed stack.
function ownFrame(error, root) {
  const parsed =
    error?.stacks ??
    error?.stack?.split("\n").flatMap((one) => {
      const match = /(?:file:\/\/)?(\/[^()\s].*?|[A-Za-z]:\\.*?):(\d+):\d+\)?$/.exec(one);
      return match ? [{ file: match[1], line: Number(match[2]) }] : [];
    });
  const own = (parsed ?? []).filter(({ file }) => !/node_modules|^node:/.test(file));
  const inside = ({ file }) => !relative(root, file).startsWith("..");
  return own.find(inside) ?? own.find(({ file, line }) => sourceLine(file, line));
}

// A syntax error has its location only in the message: `tests/a.test.ts:3:0`.
function lineIn(error, path) {
  const [, after] = String(error?.message ?? "").split(`${path}:`, 2);
  return parseInt(after) || undefined;
}

function sourceLine(path, line) {
  try {
    return readFileSync(path, "utf8").split("\n")[line - 1]?.trim();
  } catch {
    return undefined;
  }
}

function seconds(milliseconds) {
  return Math.round(milliseconds * 10) / 10_000;
}

function clean(text) {
  return stripVTControlCharacters(text.slice(0, MAX_TEXT));
}

function textLines(text) {
  const lines = clean(String(text))
    .split("\n")
    .map((line) => line.trimEnd());
  return lines.filter(Boolean).map((line) => cut(line, WIDTH));
}

// At most `room` lines. If there are more, the context lines of a diff are dropped first.
function withoutContext(lines, room) {
  const [first, ...rest] = lines;
  if (lines.length <= room) return lines;
  return [first, ...rest.filter((line) => !line.startsWith("  "))].slice(0, room);
}

function cut(text, width) {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

// An event as a line. Its failure is shortened until the line fits.
function encoded(event) {
  let line = "";
  for (const width of [WIDTH, 80, 40, 10]) {
    if (event.failure && width < WIDTH) {
      const { message, excerpt, captured } = event.failure;
      const shorter = (lines) => lines.map((one) => cut(one, width));
      const failure = { excerpt: shorter(excerpt), captured: shorter(captured) };
      event = {
        ...event,
        failure: { ...event.failure, ...failure, message: cut(message, 2 * width) },
      };
    }
    // JSON.stringify escapes a lone surrogate, which UTF-8 cannot encode.
    line = `${JSON.stringify(event)}\n`;
    if (Buffer.byteLength(line) <= EVENT) break;
  }
  return line;
}
