from flask import Flask, abort, jsonify, render_template, request

from .store import Shelf

app = Flask(__name__)


@app.get("/")
def index():
    return render_template("index.html", links=Shelf().unread())


@app.get("/links")
def links():
    return jsonify(Shelf().unread())


@app.post("/links")
def add():
    body = request.get_json()
    if not body.get("url", "").startswith(("http://", "https://")):
        abort(400)
    return {"slug": Shelf().add(body["url"], body.get("title") or body["url"])}, 201


@app.post("/links/<slug>/read")
def read(slug):
    if not Shelf().mark_read(slug):
        abort(404)
    return "", 204


@app.get("/ping")
def ping():
    return "pong"
