import { request } from "./api.ts";
import { createForm, createSection } from "./dom.ts";

interface Job {
  id: string;
  status: string;
  words: number | null;
}

const POLL_INTERVAL_MS = 500;
const POLL_LIMIT = 60;

/** Sends a text to be worked on in the background and shows the result when it is there. */
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
  throw new Error("The job is not done yet: is the worker running?");
}
