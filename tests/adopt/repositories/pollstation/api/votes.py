OPTIONS = ("tabs", "spaces")


class BadVote(ValueError):
    pass


def parse(body):
    """{"voter": "...", "choice": "tabs"} -> the line that goes into the queue"""
    voter, choice = body.get("voter", "").strip(), body.get("choice")
    if not voter:
        raise BadVote("voter is missing")
    if choice not in OPTIONS:
        raise BadVote("choice must be one of " + ", ".join(OPTIONS))
    return voter + "=" + choice


def shares(counts):
    total = sum(counts.values())
    return {o: round(100 * counts.get(o, 0) / total) if total else 0 for o in OPTIONS}
