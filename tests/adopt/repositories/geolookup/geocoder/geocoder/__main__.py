from bottle import HTTPError, abort, request, route, run

from . import __version__, cache, grid


@route("/locator")
def locator():
    try:
        found = grid.to_locator(float(request.query.lat), float(request.query.lon))
    except ValueError as e:
        abort(400, str(e))
    return {"locator": found, "hits": cache.remember(found)}


@route("/degrees/<locator>")
def degrees(locator):
    try:
        lat, lon = grid.to_degrees(locator)
    except (ValueError, IndexError) as e:
        raise HTTPError(400, str(e))
    return {"lat": lat, "lon": lon}


@route("/top")
def top():
    return {"top": cache.top(5)}


@route("/status")
def status():
    return {"version": __version__}


run(host="0.0.0.0", port=5000)
