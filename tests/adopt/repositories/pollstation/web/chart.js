exports.bar = (name, percent) =>
    `<div class="bar" style="width: ${Math.max(percent, 1)}%">${name}: ${percent} %</div>`
