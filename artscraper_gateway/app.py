"""Put the parts together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio.to_thread import run_sync
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from artscraper_gateway.choices import Choices
from artscraper_gateway.config import GatewayConfig
from artscraper_gateway.database import open_engine
from artscraper_gateway.deletion import Deletion
from artscraper_gateway.job_queue import JobQueue
from artscraper_gateway.routes import Gateway, jobs, layers, watermarks
from artscraper_gateway.routes.openapi import PROBLEM_SCHEMA
from artscraper_gateway.routes.problems import add_problem_handlers
from artscraper_gateway.store import JobStore
from artscraper_gateway.submission import Submission
from artscraper_gateway.watermark_reader import WatermarkReader
from artscraper_gateway.workers import WorkerSupervisor
from artscraper_runner import __version__


def create_app(config: GatewayConfig | None = None) -> FastAPI:
    """Returns the gateway as an ASGI application; None = settings from the environment.

    Starting the app opens the database under `config.base_dir` and starts the workers; stopping it
    lets them drain. Nothing is opened or written before.
    """
    app = FastAPI(
        title="Artscraper Gateway",
        version=__version__,
        lifespan=_lifespan(config or GatewayConfig()),
    )
    add_problem_handlers(app)
    app.include_router(jobs.router)
    app.include_router(layers.router)
    app.include_router(watermarks.router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _lifespan(config: GatewayConfig) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store = JobStore(await run_sync(open_engine, config))
        queue = JobQueue(store)
        deletion = Deletion(config, store, queue)
        supervisor = WorkerSupervisor(config)
        submission = Submission(config, queue, Choices(config))
        reader = WatermarkReader(config.picture_limits)
        app.state.gateway = Gateway(config, store, submission, deletion, reader)
        app.state.workers = supervisor
        supervisor.start()
        tidying = asyncio.create_task(run_sync(deletion.finish_interrupted))
        try:
            yield
        finally:
            await asyncio.gather(tidying, return_exceptions=True)
            await run_sync(supervisor.stop)
            queue.close()
            store.engine.dispose()

    return lifespan


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schema["components"]["schemas"]["ProblemDetails"] = PROBLEM_SCHEMA
        app.openapi_schema = schema
    return app.openapi_schema
