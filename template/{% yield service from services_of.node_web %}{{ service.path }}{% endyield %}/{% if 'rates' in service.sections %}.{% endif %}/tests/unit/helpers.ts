import { vi } from "vitest";

/** Mocks fetch: it answers with `answers["METHOD path"]` as JSON, or with 404. */
export function mockApi(answers: Record<string, unknown>) {
  const mock = vi.fn((path: string, init?: RequestInit) => {
    const key = `${init?.method ?? "GET"} ${path}`;
    return Promise.resolve(
      key in answers ? Response.json(answers[key]) : new Response(null, { status: 404 }),
    );
  });
  vi.stubGlobal("fetch", mock);
  return mock;
}

/** Enters a value in the form of a section, as a user would, and submits it. */
export function submit(section: HTMLElement, value: string): void {
  const field = section.querySelector<HTMLInputElement>("input, textarea");
  if (field) field.value = value;
  section.querySelector("form")?.dispatchEvent(new Event("submit", { cancelable: true }));
}
