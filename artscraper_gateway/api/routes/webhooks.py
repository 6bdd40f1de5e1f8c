"""The webhooks of a job: their deliveries, and sending one again."""

from __future__ import annotations

from artscraper_gateway.api.authentication import ReadJobs, SubmitJobs
from artscraper_gateway.api.context import Deliveries
from artscraper_gateway.api.openapi_problems import problems
from artscraper_gateway.api.routes.router import ReadableRouter
from artscraper_gateway.api.schemas import AttemptState, DeliveryList, DeliveryState
from artscraper_gateway.errors import NotFound
from artscraper_gateway.webhooks.repository import Attempt, Delivery, DeliveryLog

router = ReadableRouter(prefix="/v1/jobs", tags=["webhooks"])


@router.get("/{job_id}/deliveries", responses=problems(NotFound))
def list_deliveries(job_id: str, jobs: ReadJobs, deliveries: Deliveries) -> DeliveryList:
    """Return the job's webhooks with every attempt, the oldest first."""
    return _list(deliveries, jobs.find(job_id).id)


@router.post("/{job_id}/deliveries/{delivery_id}/resend", responses=problems(NotFound))
def resend_delivery(
    job_id: str, delivery_id: str, jobs: SubmitJobs, deliveries: Deliveries
) -> DeliveryList:
    """Send a webhook again, at once and with all its retries, whatever its status."""
    job = jobs.find(job_id)
    # PostgreSQL accepts no zero byte.
    if "\0" in delivery_id or not deliveries.send_again(job.id, delivery_id):
        raise NotFound("The job has no delivery with this id.")
    return _list(deliveries, job_id)


def _list(deliveries: DeliveryLog, job_id: str) -> DeliveryList:
    return DeliveryList(deliveries=[_state(*row) for row in deliveries.of_job(job_id)])


def _state(delivery: Delivery, attempts: list[Attempt]) -> DeliveryState:
    return DeliveryState(
        delivery_id=delivery.id,
        type=delivery.kind,
        url=delivery.url,
        status=delivery.status,
        created_at=delivery.created_at,
        next_attempt_at=delivery.next_at,
        attempts=[AttemptState(**vars(each)) for each in attempts],
    )
