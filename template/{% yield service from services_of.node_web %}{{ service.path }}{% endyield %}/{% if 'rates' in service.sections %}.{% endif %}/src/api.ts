/** Requests JSON from the API, by POST if there is a body. Throws if the API reports an error. */
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
