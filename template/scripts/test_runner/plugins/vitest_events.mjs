// Kept by the template: copier update merges its changes into this file.
// A Vitest reporter that tells the test runner what happens: JSON lines in the file TEST_EVENTS
// names, of the same kind as those of pytest_events.py. For Vitest 3 and later; a project's
// vite.config.ts uses it where TEST_EVENTS_REPORTER is set, to the path of this file. It prints
// nothing, and a run never fails because of it.
import { openSync, readFileSync, writeSync } from "node:fs";
import { isAbsolute, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";

// What is recorded of a failure at most: characters of a message, of a line, and lines.
const [MESSAGE, WIDTH, EXCERPT, CAPTURED, CAUSES] = [500, 160, 8, 3, 3];
// How much of a text is looked at, how long an id may be (characters), and an event (bytes).
const [LOOKED_AT, ID, EVENT] = [100_000, 500, 4000];

export default class EventsReporter {
  #file;
  #vitest;
  #total = 0;
  #ids = new Map();
  #taken = new Map();
  #printed = new Map();
  #broken = new Set();

  constructor() {
    try {
      this.#file = process.env.TEST_EVENTS && openSync(process.env.TEST_EVENTS, "a");
    } catch {
      // Then nothing is recorded.
    }
    // A Vitest that a test starts is not the run that is recorded.
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

  onTestRunStart() {
    this.#total = 0;
    for (const known of [this.#ids, this.#taken, this.#printed, this.#broken]) known.clear();
  }

  // How many tests there are grows as files are read.
  onTestModuleCollected(module) {
    this.#quietly(() => {
      this.#total += [...module.children.allTests()].length;
      this.#emit({ event: "total", tests: this.#total });
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

  // A test that fails and is run again has a `rerun` for each time that it failed before.
  onTestCaseResult(test) {
    this.#quietly(() => {
      const result = test.result();
      const { duration = 0, retryCount = 0 } = test.diagnostic() ?? {};
      const errors = result.errors ?? [];
      const about = { event: "result", test: this.#id(test) };
      const timed = { phase: "call", seconds: seconds(duration) };
      for (let tried = 0; tried < retryCount; tried++) {
        const failure = this.#failure(errors[tried], test);
        this.#emit({ ...about, outcome: "rerun", phase: "call", seconds: 0, failure });
      }
      if (result.state === "failed") {
        // Of one try the first error is what the others come of.
        const error = errors[retryCount] ?? errors.at(-1);
        const failure = this.#failure(error, test);
        this.#emit({ ...about, outcome: "failed", ...timed, failure });
      } else if (result.state !== "pending") {
        // `pending` here is what `--bail` kept from running.
        this.#emit({ ...about, outcome: result.state, ...timed });
      }
      this.#emit({ event: "finish", test: about.test, seconds: timed.seconds });
      this.#printed.delete(test.id);
    });
  }

  // What beforeAll and afterAll throw.
  onTestSuiteResult(suite) {
    this.#quietly(() => this.#collectErrors(suite));
  }

  onTestModuleEnd(module) {
    this.#quietly(() => this.#collectErrors(module));
  }

  onTestRunEnd(modules, unhandled, reason) {
    this.#quietly(() => {
      // Vitest 3 does not end a file that cannot be read.
      for (const module of modules) this.#collectErrors(module);
      for (const error of unhandled) {
        const failure = this.#failure(error);
        this.#emit({ event: "collect_error", test: "unhandled error", failure });
      }
      const ignored = this.#vitest?.config?.dangerouslyIgnoreUnhandledErrors;
      const failed = reason !== "passed" || (unhandled.length > 0 && !ignored);
      // What pytest ends with when there was nothing to run.
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

  // `tests/unit/items.test.ts > suite > name`; Vitest allows the same name twice.
  #id(entity) {
    const known = this.#ids.get(entity.id);
    if (known) return known;
    const module = this.#place((entity.module ?? entity).moduleId);
    const name = cut(entity.fullName ? `${module} > ${entity.fullName}` : module, ID);
    const count = (this.#taken.get(name) ?? 0) + 1;
    this.#taken.set(name, count);
    const id = count > 1 ? `${name} (${count})` : name;
    this.#ids.set(entity.id, id);
    return id;
  }

  #place(path) {
    const inside = relative(this.#vitest.config.root, path);
    return (inside.startsWith("..") || isAbsolute(inside) ? path : inside).replaceAll("\\", "/");
  }

  // Its type and message, where to look, and the lines that tell. Line 0: it is not known.
  #failure(error, entity) {
    const frame = ownFrame(error, this.#vitest.config.root);
    const path = frame?.file ?? (entity?.module ?? entity)?.moduleId ?? error?.VITEST_TEST_PATH;
    const line = frame?.line ?? lineIn(error, path && this.#place(path)) ?? 0;
    const source = sourceLine(path, line);
    const causes = [];
    for (let one = error?.cause; one && causes.length < CAUSES; one = one.cause) {
      causes.unshift(`E   ${textLines(words(one))[0] ?? ""}`);
    }
    const message = textLines(words(error));
    const difference = textLines(error?.diff ?? "");
    const excerpt = [...causes, ...(source ? [`>   ${source}`] : [])];
    const room = EXCERPT - excerpt.length;
    excerpt.push(...telling([...message, ...difference], room).map((one) => `E   ${one}`));
    return {
      type: error?.name ?? "",
      message: cut(clean(String(error?.message ?? "")).trim(), MESSAGE),
      path: path ? this.#place(path) : "",
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
      // What cannot be recorded must not break the run.
    }
  }
}

function words(error) {
  const message = String(error?.message ?? "");
  return error?.name ? `${error.name}: ${message}` : message;
}

// The innermost frame of the project's own code. Errors outside of tests come without a parsed stack.
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

// What keeps a file from being parsed says where in words: `tests/a.test.ts:3:0`.
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
  return stripVTControlCharacters(text.slice(0, LOOKED_AT));
}

function textLines(text) {
  const lines = clean(String(text))
    .split("\n")
    .map((line) => line.trimEnd());
  return lines.filter(Boolean).map((line) => cut(line, WIDTH));
}

// As many lines as there is room for, without a difference's context if it is long.
function telling(lines, room) {
  const [first, ...rest] = lines;
  if (lines.length <= room) return lines;
  return [first, ...rest.filter((line) => !line.startsWith("  "))].slice(0, room);
}

function cut(text, width) {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

// An event as a line, its failure cut down until it is short enough.
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
    // Half a character cannot be UTF-8; as an escape it can.
    line = `${JSON.stringify(event)}\n`;
    if (Buffer.byteLength(line) <= EVENT) break;
  }
  return line;
}
