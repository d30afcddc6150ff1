/** Creates a section of the page, with a heading. */
export function createSection(title: string, ...children: HTMLElement[]): HTMLElement {
  const heading = document.createElement("h2");
  heading.append(title);
  const section = document.createElement("section");
  section.append(heading, ...children);
  return section;
}

/**
 * Creates a form with one labelled field. The form displays the text that `submit` returns, or its
 * error, in an `<output>`, which screen readers announce.
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

/** Returns the text to display for an error. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
