"""The webhooks of a job: what was sent, what came back, and sending it again."""

from __future__ import annotations

from fastapi import APIRouter

from artscraper_gateway.api.authentication import Reader, Submitter
from artscraper_gateway.api.context import Gateway
from artscraper_gateway.api.openapi_problems import problems
from artscraper_gateway.api.schemas import AttemptState, DeliveryList, DeliveryState, moment
from artscraper_gateway.errors import NotFound
from artscraper_gateway.webhooks.repository import Attempt, Delivery

router = APIRouter(prefix="/v1/jobs", tags=["webhooks"])


@router.get("/{job_id}/deliveries", responses=problems(NotFound))
def list_deliveries(job_id: str, used: Reader) -> DeliveryList:
    """Returns the job's webhooks with every try, the oldest first."""
    return _listed(used, used.job(job_id).id)


@router.post("/{job_id}/deliveries/{delivery_id}/resend", responses=problems(NotFound))
def resend_delivery(job_id: str, delivery_id: str, used: Submitter) -> DeliveryList:
    """Sends a webhook again, at once and with all its retries, whatever became of it."""
    job = used.job(job_id)
    # PostgreSQL takes no zero byte, so that it is in no id.
    if "\0" in delivery_id or not used.deliveries.send_again(job.id, delivery_id):
        raise NotFound("The job has no delivery of this id.")
    return _listed(used, job_id)


def _listed(used: Gateway, job_id: str) -> DeliveryList:
    rows = [_shown(*found) for found in used.deliveries.of_job(job_id)]
    return DeliveryList(deliveries=rows)


def _shown(delivery: Delivery, attempts: list[Attempt]) -> DeliveryState:
    return DeliveryState(
        delivery_id=delivery.id,
        type=delivery.kind,
        url=delivery.url,
        status=delivery.status,
        created_at=moment(delivery.created_at),
        next_attempt_at=None if delivery.next_at is None else moment(delivery.next_at),
        attempts=[
            AttemptState(
                at=moment(each.at),
                duration_s=round(each.duration_s, 3),
                http_status=each.http_status,
                error=each.error,
            )
            for each in attempts
        ],
    )
