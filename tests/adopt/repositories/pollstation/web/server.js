const http = require("http")
const fs = require("fs")
const path = require("path")
const { bar } = require("./chart")

const API = process.env.API_URL || "http://localhost:5001"
const page = fs.readFileSync(path.join(__dirname, "public", "index.html"), "utf8")

const server = http.createServer(async (req, res) => {
    try {
        if (req.url.startsWith("/api/")) {
            const chunks = []
            for await (const c of req) chunks.push(c)
            const body = req.method === "POST" ? Buffer.concat(chunks) : undefined
            const up = await fetch(API + req.url, { method: req.method, body })
            res.writeHead(up.status, { "content-type": "application/json" })
            return res.end(await up.text())
        }
        const { percent } = await (await fetch(API + "/api/results")).json()
        const chart = Object.entries(percent).map(([name, p]) => bar(name, p)).join("\n")
        res.writeHead(200, { "content-type": "text/html" })
        res.end(page.replace("<!-- chart -->", chart))
    } catch (err) {
        console.error(err)
        res.writeHead(503)
        res.end("come back later")
    }
})

server.listen(process.env.PORT || 3000)
// docker stop would wait ten seconds otherwise
process.on("SIGTERM", () => process.exit(0))
