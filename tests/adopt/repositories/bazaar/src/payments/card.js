'use strict';

// Luhn
exports.isValid = (number) => {
  if (!/^\d{13,19}$/.test(number)) return false;
  let sum = 0;
  [...number].reverse().forEach((digit, i) => {
    let n = Number(digit);
    if (i % 2) n = n * 2 > 9 ? n * 2 - 9 : n * 2;
    sum += n;
  });
  return sum % 10 === 0;
};
