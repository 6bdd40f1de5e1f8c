"""An example of each good answer, by the name of its schema, for the OpenAPI description."""

from __future__ import annotations

from typing import Any

_JOB_ID, _BATCH_ID = "9f0cba1d7c6f4a0f8a3c2a5d1e4b7c90", "0b7d52f5c1c84b7d9a2f3e6a8d9c1b20"
_LAYER = {
    "stage": "mist",
    "path": f"/srv/outputs/{_JOB_ID}/layers/03-mist/image.jpg",
    "applied": True,
    "metrics": {"psnr": 36.8, "ssim": 0.961, "linf": 8, "effective": True},
}
_JOB = {
    "job_id": _JOB_ID,
    "status": "running",
    "submitted_at": "2026-01-02T03:04:05.678901Z",
    "updated_at": "2026-01-02T03:04:09.123456Z",
    "started_at": "2026-01-02T03:04:06.012345Z",
    "finished_at": None,
    "expires_at": None,
    "stage": "mist",
    "progress": 0.42,
    "queue_position": None,
    "priority": 0,
    "batch_id": None,
    "error": None,
    "error_code": None,
}
QUEUED_JOB = {
    **_JOB,
    "status": "queued",
    "updated_at": _JOB["submitted_at"],
    "started_at": None,
    "stage": None,
    "progress": 0.0,
    "queue_position": 1,
}
_DELIVERY = {
    "delivery_id": "msg_5d1c0f7e",
    "type": "job.done",
    "url": "https://example.org/hook",
    "status": "delivered",
    "created_at": "2026-01-02T03:04:20.000000Z",
    "next_attempt_at": None,
    "attempts": [
        {
            "at": "2026-01-02T03:04:20.100000Z",
            "duration_s": 0.08,
            "http_status": 204,
            "error": None,
        }
    ],
}

ANSWER_EXAMPLES: dict[str, dict[str, Any]] = {
    "JobState": _JOB,
    "JobPage": {"jobs": [_JOB], "next_page_token": None},
    "JobResult": {
        "job_id": _JOB_ID,
        "summary": {"layers": [_LAYER]},
        "analysis": {"processors": [{"name": "dhash", "ok": True}]},
        "output_dir": f"/srv/outputs/{_JOB_ID}",
    },
    "JobDeleted": {"job_id": _JOB_ID, "status": "deleted"},
    "BatchState": {
        "batch_id": _BATCH_ID,
        "status": "running",
        "submitted_at": "2026-01-02T03:04:05.678901Z",
        "counts": {"queued": 0, "running": 1, "done": 0, "error": 0},
        "jobs": [{**_JOB, "batch_id": _BATCH_ID}],
        "refused": [{"index": 1, "code": "too-large", "detail": "expected at most 50 MiB"}],
    },
    "BatchDeleted": {"batch_id": _BATCH_ID, "status": "deleted"},
    "DeliveryList": {"deliveries": [_DELIVERY]},
    "WatermarkReading": {
        "payload": "0123456789abcdef",
        "text": None,
        "confidence": 0.98,
        "job_id": _JOB_ID,
    },
    "Limits": {
        "max_upload_bytes": 52_428_800,
        "max_pixels": 50_000_000,
        "max_side": 16_384,
        "max_frames": 2_000,
        "max_queued": 10_000,
        "job_ttl": None,
        "max_disk": None,
        "strength": "medium",
        "stages": [{"name": "mist", "default": True, "available": True}],
    },
    "Session": {"needs_key": True, "signed_in": True, "csrf_token": "3f1a9c"},
    "Alive": {"status": "alive"},
    "Ready": {"status": "ready"},
}
