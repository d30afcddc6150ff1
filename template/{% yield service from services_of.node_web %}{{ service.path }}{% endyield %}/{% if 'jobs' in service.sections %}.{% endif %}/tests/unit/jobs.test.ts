import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { jobsSection } from "../../src/jobs.ts";
import { mockApi, submit } from "./helpers.ts";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test("shows the number of words when the job is complete", async () => {
  const answers: Record<string, unknown> = {
    "POST /api/jobs": { id: "7" },
    "GET /api/jobs/7": { id: "7", status: "queued", words: null },
  };
  const fetchMock = mockApi(answers);
  const section = jobsSection();

  submit(section, "to be or not");
  await vi.waitFor(() => expect(fetchMock).toHaveBeenCalledTimes(2));
  answers["GET /api/jobs/7"] = { id: "7", status: "complete", words: 4 };

  await vi.waitFor(async () => {
    await vi.runAllTimersAsync();
    expect(section.textContent).toContain("4 words");
  });
});

test("shows that the job failed", async () => {
  mockApi({
    "POST /api/jobs": { id: "7" },
    "GET /api/jobs/7": { id: "7", status: "failed", words: null },
  });
  const section = jobsSection();

  submit(section, "to be or not");

  await vi.waitFor(() => expect(section.textContent).toContain("The job failed"));
});

test("shows an error if no worker takes the job", async () => {
  mockApi({
    "POST /api/jobs": { id: "7" },
    "GET /api/jobs/7": { id: "7", status: "queued", words: null },
  });
  const section = jobsSection();

  submit(section, "to be or not");

  await vi.waitFor(async () => {
    await vi.runAllTimersAsync();
    expect(section.textContent).toContain("Is the worker running?");
  });
});
