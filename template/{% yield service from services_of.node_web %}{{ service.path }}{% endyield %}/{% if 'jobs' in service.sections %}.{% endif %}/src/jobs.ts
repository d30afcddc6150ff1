import { request } from "./api.ts";
import { createForm, createSection } from "./dom.ts";

interface Job {
  id: string;
  status: string;
  words: number | null;
}

const POLL_INTERVAL_MS = 500;
const POLL_LIMIT = 60;

/** Counts the words of a text in a background job, and displays the result. */
export function jobsSection(): HTMLElement {
  const field = document.createElement("textarea");
  const form = createForm("Text", field, "Count words", async (text) => {
    const { id } = await request<Pick<Job, "id">>("/api/jobs", { text });
    return `${await countedWords(id)} words`;
  });
  return createSection("Background jobs", form);
}

async function countedWords(id: string): Promise<number> {
  for (let attempt = 0; attempt < POLL_LIMIT; attempt++) {
    const { status, words } = await request<Job>(`/api/jobs/${encodeURIComponent(id)}`);
    if (words !== null) return words;
    if (status === "failed" || status === "aborted") throw new Error(`The job ${status}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
  }
  throw new Error("The job has not finished yet. Is the worker running?");
}
