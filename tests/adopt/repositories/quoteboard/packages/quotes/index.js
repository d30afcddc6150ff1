/** Checks a quote; returns the clean one or throws. */
export function clean({ text, author } = {}) {
  text = (text ?? '').trim().replace(/\s+/g, ' ');
  if (!text) throw new TypeError('text is required');
  if (text.length > 280) throw new RangeError('text is longer than 280 characters');
  return { text, author: author?.trim() || 'unknown' };
}

/** The quote of the day: the same one all day long. */
export function ofTheDay(quotes, date) {
  const day = Math.floor(date.getTime() / 86_400_000);
  return quotes[day % quotes.length];
}
