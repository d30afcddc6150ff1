export function row(note) {
  const times = note.count > 1 ? ` (${note.count})` : "";
  return `<li><em>${note.species}</em>${times}: ${note.score.toFixed(1)}</li>`;
}
