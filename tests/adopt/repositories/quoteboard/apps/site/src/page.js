const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
const escape = (text) => text.replace(/[&<>]/g, (c) => entities[c]);

export const page = ({ text, author }) => `<!doctype html>
<meta charset="utf-8">
<title>Quote of the day</title>
<blockquote>${escape(text)}</blockquote>
<cite>${escape(author)}</cite>
`;
