import httpx2


def test_a_rate_comes_from_the_stub(api: httpx2.Client) -> None:
    response = api.get("/api/rates/USD")

    assert response.status_code == 200
    assert response.json() == {"currency": "USD", "rate": 1.25}


def test_an_unknown_currency_is_not_found(api: httpx2.Client) -> None:
    assert api.get("/api/rates/XXX").status_code == 404
