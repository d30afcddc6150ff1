'use strict';

module.exports = (products, query) => {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return products.filter((p) => {
    const text = [p.name, ...p.tags].join(' ').toLowerCase();
    return words.every((word) => text.includes(word));
  });
};
