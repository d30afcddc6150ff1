const { describe, it } = require("node:test")
const assert = require("node:assert")
const { bar } = require("../chart")

describe("bar", () => {
    it("is as wide as its share", () => assert.ok(bar("tabs", 40).includes("width: 40%")))
    it("is visible without votes", () => assert.ok(bar("tabs", 0).includes("width: 1%")))
    it("shows the number", () => assert.ok(bar("spaces", 7).includes("spaces: 7 %")))
})
