import base64
import hashlib
import hmac


def make(secret, address):
    digest = hmac.new(secret.encode(), address.lower().encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:15]).decode()


def check(secret, address, token):
    return hmac.compare_digest(make(secret, address), token)


def looks_like_address(text):
    name, at, domain = text.partition('@')
    return bool(name and at and '.' in domain.strip('.') and ' ' not in text)
