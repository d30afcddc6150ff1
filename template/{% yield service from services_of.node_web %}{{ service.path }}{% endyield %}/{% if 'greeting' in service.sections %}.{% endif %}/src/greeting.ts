/** Greets the visitor by the time of day. */
export function greetingSection(now = new Date()): HTMLElement {
  const paragraph = document.createElement("p");
  paragraph.textContent = now.getHours() < 12 ? "Good morning!" : "Good day!";
  return paragraph;
}
