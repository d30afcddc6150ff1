/** Gets JSON from the API or, with a body, posts to it; throws when the API refuses. */
export async function request<T>(path: string, body?: unknown): Promise<T> {
  const response = await fetch(
    path,
    body === undefined
      ? {}
      : {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(body),
        },
  );
  if (!response.ok) {
    throw new Error(`The API answered ${response.status} ${response.statusText}`.trim());
  }
  return (await response.json()) as T;
}
