"""URLs of a job's resources, relative to the host: a proxy's name and scheme cannot be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from artscraper_gateway.api.schemas import JobLinks


@dataclass(frozen=True)
class JobUrls:
    """Builds URLs below `root_path`, the path that a proxy serves the gateway under."""

    root_path: str = ""

    def job(self, job_id: str, *parts: str) -> str:
        """Return the URL of a job, or of what `parts` name below it."""
        tail = "".join(f"/{quote(part, safe='')}" for part in parts)
        return f"{self.root_path}/v1/jobs/{job_id}{tail}"

    def batch(self, batch_id: str) -> str:
        """Return the URL of a batch."""
        return f"{self.root_path}/v1/batches/{batch_id}"

    def of_job(self, job_id: str, *, has_result: bool) -> JobLinks:
        """Return the links of a job; those of its result are None until there is one."""
        return JobLinks(
            self_url=self.job(job_id),
            events=self.job(job_id, "events"),
            result=self.job(job_id, "result") if has_result else None,
            final=self.job(job_id, "layers", "final") if has_result else None,
            archive=self.job(job_id, "archive.zip") if has_result else None,
        )

    def link_header(self, job_id: str) -> str:
        """Return a Link header that leads from a picture to its job (RFC 8288, RFC 8631)."""
        return ", ".join(
            f'<{url}>; rel="{relation}"'
            for relation, url in (
                ("status", self.job(job_id)),
                ("describedby", self.job(job_id, "result")),
                ("item", self.job(job_id, "layers", "final")),
            )
        )
