import httpx2

from tests.waiting import wait_for


def test_the_worker_counts_the_words(api: httpx2.Client) -> None:
    created = api.post("/api/jobs", json={"text": "three short words"})
    assert created.status_code == 202
    path = f"/api/jobs/{created.json()['id']}"

    wait_for(
        lambda: api.get(path).json()["status"] == "complete", timeout=10, what=f"the end of {path}"
    )

    assert api.get(path).json()["words"] == 3


def test_an_unknown_job_is_not_found(api: httpx2.Client) -> None:
    assert api.get("/api/jobs/unknown").status_code == 404
