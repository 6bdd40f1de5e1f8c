"""Assemble the application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

import sqlalchemy as sa
from anyio.to_thread import run_sync
from fastapi import FastAPI

from artscraper_gateway.api.authentication import needs_key
from artscraper_gateway.api.context import Services
from artscraper_gateway.api.middleware import Observation, OriginCheck
from artscraper_gateway.api.openapi_problems import describe
from artscraper_gateway.api.problems import add_problem_handlers, problem_response
from artscraper_gateway.api.routes import (
    batches,
    events,
    health,
    jobs,
    limits,
    protect,
    results,
    sessions,
    strength_previews,
    watermarks,
    webhooks,
)
from artscraper_gateway.api.routes.pages import add_page
from artscraper_gateway.auth.keys import Keyring, KeyStore
from artscraper_gateway.auth.signed_links import LinkSigner
from artscraper_gateway.db.engine import open_engine
from artscraper_gateway.db.wal import Checkpoints
from artscraper_gateway.jobs.batches import Batches
from artscraper_gateway.jobs.deletion import Deletion
from artscraper_gateway.jobs.listing import JobListing
from artscraper_gateway.jobs.queue import JobQueue
from artscraper_gateway.jobs.repository import JobStore
from artscraper_gateway.jobs.request import address_rules
from artscraper_gateway.jobs.submission import Submission
from artscraper_gateway.jobs.watcher import JobWatch
from artscraper_gateway.observability.metrics import Metrics
from artscraper_gateway.observability.prometheus import MetricsCollector
from artscraper_gateway.observability.readiness import Readiness
from artscraper_gateway.observability.tracing import Tracing
from artscraper_gateway.sandbox.previews import Previews
from artscraper_gateway.sandbox.processes import PictureProcesses
from artscraper_gateway.sandbox.strength_previews import StrengthPreviews
from artscraper_gateway.sandbox.watermarks import WatermarkReader
from artscraper_gateway.settings.model import GatewayConfig
from artscraper_gateway.storage.base import StorageHealth
from artscraper_gateway.storage.objects import open_storage
from artscraper_gateway.webhooks.repository import DeliveryLog
from artscraper_gateway.webhooks.sender import DeliverySender
from artscraper_gateway.worker.supervisor import WorkerSupervisor
from artscraper_runner import __version__

_PICTURES_AT_ONCE = 2  # that are decoded for callers, each in a process of its own


def create_app(config: GatewayConfig | None = None) -> FastAPI:
    """Return the gateway as an ASGI application; None: settings from the environment.

    Starting the app opens the database under `config.base_dir` and starts the workers; stopping it
    lets them drain. Nothing is opened or written earlier.
    """
    config = config or GatewayConfig()
    tracing = Tracing()
    app = FastAPI(
        title="Artscraper Gateway",
        version=__version__,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere; `add_page` serves one
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        lifespan=partial(_lifespan, config, tracing),
    )
    add_problem_handlers(app)
    app.add_middleware(OriginCheck, config=config, needs_key=needs_key, respond=problem_response)
    app.add_middleware(Observation, tracing=tracing)
    for part in (protect, jobs, events, results, webhooks, batches, watermarks):
        app.include_router(part.router)
    for part in (strength_previews, limits, sessions, health):
        app.include_router(part.router)
    add_page(app)
    app.openapi = cache(partial(describe, app))  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(config: GatewayConfig, tracing: Tracing, app: FastAPI) -> AsyncIterator[None]:
    tracing.start()
    engine = await run_sync(open_engine, config)
    supervisor = WorkerSupervisor(config)
    services = await run_sync(_services, config, engine, supervisor, tracing)
    await services.keyring.load()
    app.state.services, app.state.metrics = services, services.metrics
    app.state.workers = supervisor
    supervisor.start()
    checkpoints = Checkpoints(config.database_path) if config.database_url is None else None
    if checkpoints is not None:
        checkpoints.start()
    try:
        async with _housekeeping(services):
            yield
    finally:
        await services.watch.close()
        await services.strength_previews.close()
        await run_sync(supervisor.stop)
        services.queue.close()
        if checkpoints is not None:
            await run_sync(checkpoints.stop)
        engine.dispose()
        await run_sync(tracing.stop)


@asynccontextmanager
async def _housekeeping(services: Services) -> AsyncIterator[None]:
    """Run periodic tasks until the gateway begins to drain."""
    stopping = asyncio.Event()
    tidying = asyncio.create_task(services.deletion.clean_up_regularly(stopping))
    rules = address_rules(services.config)
    sender = DeliverySender(services.deliveries, rules, services.metrics)
    sending = asyncio.create_task(sender.run())
    try:
        yield
    finally:
        services.readiness.is_draining = True
        stopping.set()
        sending.cancel()
        await asyncio.gather(tidying, sending, return_exceptions=True)


def _services(
    config: GatewayConfig,
    engine: sa.Engine,
    supervisor: WorkerSupervisor,
    tracing: Tracing,
) -> Services:
    metrics = Metrics(config, "web")
    store, listing = JobStore(engine), JobListing(engine)
    queue, storage = JobQueue(store), open_storage(config)
    health = StorageHealth(config, storage)
    slots = asyncio.Semaphore(_PICTURES_AT_ONCE)
    submission = Submission(config, queue, storage, health, listing, metrics, tracing)
    return Services(
        config=config,
        store=store,
        queue=queue,
        listing=listing,
        watch=JobWatch(engine),
        submission=submission,
        batches=Batches(submission),
        deletion=Deletion(config, store, queue, storage),
        deliveries=DeliveryLog(engine),
        keyring=Keyring(KeyStore(engine)),
        signer=LinkSigner.of(config),
        reader=WatermarkReader(config.picture_limits, PictureProcesses(slots)),
        previews=Previews(config.picture_limits, PictureProcesses(slots, waiting=64, timeout_s=60)),
        strength_previews=StrengthPreviews(_preview_options(config)),
        storage=storage,
        metrics=metrics,
        readiness=Readiness(config, engine, health, supervisor.problem),
        collector=MetricsCollector(config, metrics, engine),
    )


def _preview_options(config: GatewayConfig) -> dict[str, Any]:
    return {
        "encoder": config.encoder,
        "seed": config.seed,
        "nightshade_target": config.nightshade_target,
        "models_dir": None if config.models_dir is None else str(config.models_dir),
        "accelerator": config.accelerator,
    }
