import httpx2


def test_the_running_service_is_ready(api: httpx2.Client) -> None:
    response = api.get("/ready")

    assert response.json() == {"status": "ready", "failing": []}
    assert response.status_code == 200
