/** A client of Artscraper Gateway. `schema.ts` is generated from its OpenAPI description. */

import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type Job = components["schemas"]["JobState"];
export type Result = components["schemas"]["JobResult"];
export type Problem = components["schemas"]["ProblemDetails"];
export type JobOptions = Omit<
  paths["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"],
  "file" | "nightshade_target" | "fawkes_target"
> & {
  /** The name of a concept, or a picture. */
  nightshade_target?: string | Blob;
  fawkes_target?: Blob;
};
export type Gateway = Client<paths>;

export interface ConnectOptions {
  apiKey?: string;
  /** Seconds for which requests are repeated while the gateway restarts; default 90. */
  outageSeconds?: number;
}

const MAX_WAIT_S = 30;
const MIN_PAUSE_MS = 500; // a gateway may be set up to hold no response back
const MAX_PAUSE_MS = 8000;
const RESTARTING = [502, 503];

/** The gateway refused a request, or answered with something that cannot be used. */
export class GatewayProblem extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem | undefined,
  ) {
    super(problem?.title ? `${problem.title}: ${problem.detail}` : `status ${status}`);
  }
}

/** Return a client of the gateway at `baseUrl`, with methods typed by path. */
export function connect(baseUrl: string, options: ConnectOptions = {}): Gateway {
  const { apiKey, outageSeconds = 90 } = options;
  const headers = apiKey ? { Authorization: `Bearer ${apiKey}` } : undefined;
  const fetch = (request: Request) => fetchThroughOutage(request, outageSeconds * 1000);
  return createClient<paths>({ baseUrl, headers, fetch });
}

/** Protect a picture and return the result; throws if the job fails. */
export async function protect(
  gateway: Gateway,
  picture: Blob,
  options: JobOptions = {},
): Promise<Blob> {
  const submitted = await submit(gateway, picture, options);
  const job = await waitForJob(gateway, submitted.job_id);
  return fetchLayer(gateway, job.job_id, "final");
}

/** Submit a picture; the same `idempotencyKey` returns the same job for a day. */
export async function submit(
  gateway: Gateway,
  picture: Blob,
  options: JobOptions = {},
  idempotencyKey: string = randomKey(),
): Promise<Job> {
  const form = new FormData();
  form.append("file", picture, "picture");
  for (const [name, value] of Object.entries(options)) {
    if (value instanceof Blob) form.append(name, value, name);
    else if (value !== undefined && value !== null) form.append(name, String(value));
  }
  const response = await gateway.POST("/v1/jobs", {
    params: { header: { "Idempotency-Key": idempotencyKey } },
    body: form as never, // the schema lists the fields, the request sends the form
    bodySerializer: (body) => body as unknown as FormData,
  });
  return checked(response);
}

/** Return the job when it has ended; call `onChange` with each state before. */
export async function waitForJob(
  gateway: Gateway,
  jobId: string,
  onChange: (job: Job) => void = () => {},
): Promise<Job> {
  let wait = 0;
  for (;;) {
    const begun = Date.now();
    const params = { path: { job_id: jobId }, query: { wait } };
    const job: Job = checked(await gateway.GET("/v1/jobs/{job_id}", { params }));
    onChange(job);
    if (job.finished_at !== null) return job;
    const left = MIN_PAUSE_MS - (Date.now() - begun);
    if (wait > 0 && left > 0) await pause(left);
    wait = MAX_WAIT_S;
  }
}

/** Return the results of a finished job. */
export async function fetchResult(gateway: Gateway, jobId: string): Promise<Result> {
  const params = { path: { job_id: jobId } };
  return checked(await gateway.GET("/v1/jobs/{job_id}/result", { params }));
}

/** Return the picture after `stage`. */
export async function fetchLayer(gateway: Gateway, jobId: string, stage: string): Promise<Blob> {
  const params = { path: { job_id: jobId, stage } };
  const response = await gateway.GET("/v1/jobs/{job_id}/layers/{stage}", {
    params,
    parseAs: "blob",
  });
  return checked(response) as unknown as Blob;
}

/**
 * Send a request again while the gateway restarts. Only what has no effect when sent twice is:
 * reads, deletions, cancellations, and submissions, which carry an idempotency key.
 */
async function fetchThroughOutage(request: Request, outageMs: number): Promise<Response> {
  const repeatable =
    ["GET", "HEAD", "DELETE"].includes(request.method) ||
    request.headers.has("Idempotency-Key") ||
    new URL(request.url).pathname.endsWith("/cancel");
  const begun = Date.now();
  for (let attempt = 0; ; attempt++) {
    const isLast = !repeatable || Date.now() - begun >= outageMs;
    try {
      const response = await fetch(isLast ? request : request.clone());
      if (isLast || !RESTARTING.includes(response.status)) return response;
      await response.body?.cancel();
      await pause(retryAfterMs(response) ?? backoffMs(attempt));
    } catch (error) {
      if (isLast || request.signal.aborted) throw error;
      await pause(backoffMs(attempt));
    }
  }
}

function retryAfterMs(response: Response): number | undefined {
  const seconds = Number(response.headers.get("Retry-After") ?? NaN);
  return seconds >= 0 ? Math.min(seconds * 1000, MAX_PAUSE_MS) : undefined;
}

/** Clients must not return all at once, hence the random part. */
function backoffMs(attempt: number): number {
  return Math.min(MIN_PAUSE_MS * 2 ** attempt, MAX_PAUSE_MS) * (0.5 + Math.random() / 2);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** crypto.randomUUID does not exist on pages without TLS. */
function randomKey(): string {
  const digits = () => Math.random().toString(36).slice(2);
  return `${Date.now().toString(36)}-${digits()}${digits()}`;
}

function checked<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) {
    const body = answer.error; // a proxy's page is no problem document
    const problem = typeof body === "object" ? (body as Problem) : undefined;
    throw new GatewayProblem(answer.response.status, problem);
  }
  return answer.data;
}
