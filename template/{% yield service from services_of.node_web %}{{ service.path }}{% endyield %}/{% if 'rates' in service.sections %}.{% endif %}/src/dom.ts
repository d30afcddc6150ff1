/** A section of the page, under a heading of its own. */
export function createSection(title: string, ...children: HTMLElement[]): HTMLElement {
  const heading = document.createElement("h2");
  heading.append(title);
  const section = document.createElement("section");
  section.append(heading, ...children);
  return section;
}

/**
 * A form of one labelled field. What `submit` resolves to is shown beside it, and so is the
 * reason when it fails; `<output>` has screen readers say it.
 */
export function createForm(
  label: string,
  field: HTMLInputElement | HTMLTextAreaElement,
  action: string,
  submit: (value: string) => Promise<string>,
): HTMLFormElement {
  const labelElement = document.createElement("label");
  labelElement.append(label, field);
  field.required = true;

  const button = document.createElement("button");
  button.append(action);

  const output = document.createElement("output");

  const form = document.createElement("form");
  form.append(labelElement, button, output);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    button.disabled = true;
    output.textContent = "…";
    void submit(field.value)
      .catch(errorMessage)
      .then((message) => {
        output.textContent = message;
        button.disabled = false;
      });
  });
  return form;
}

/** What to show of something that was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
