from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, HTTPException
from pydantic import BaseModel

from app import repository
from app.config import API_PREFIX
from app.service import record


@asynccontextmanager
async def lifespan(_: FastAPI):
    repository.create_table()
    yield


class NewNote(BaseModel):
    line: str


router = APIRouter(prefix=API_PREFIX)


@router.get("/utils/health-check/")
def health_check() -> bool:
    return True


@router.post("/notes", status_code=201)
def add(note: NewNote) -> dict:
    try:
        return record(note.line, repository)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error


@router.get("/notes/best")
def best(limit: int = 10) -> list[dict]:
    return repository.best(limit)


app = FastAPI(title="Field notes", lifespan=lifespan)
app.include_router(router)
