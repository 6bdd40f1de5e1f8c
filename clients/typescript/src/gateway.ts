/** A client of Artscraper Gateway. `schema.ts` is made from its OpenAPI description. */

import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type Job = components["schemas"]["JobState"];
export type Result = components["schemas"]["JobResult"];
export type Problem = components["schemas"]["ProblemDetails"];
export type JobOptions = Omit<
  paths["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"],
  "file" | "nightshade_target" | "fawkes_target"
> & {
  /** A concept's name, or a picture. */
  nightshade_target?: string | Blob;
  fawkes_target?: Blob;
};
export type Gateway = Client<paths>;

const LONGEST_WAIT_S = 30;
const LEAST_PAUSE_MS = 500; // a gateway may be set up to hold no answer back

/** What the gateway refused, or answered that cannot be used. */
export class GatewayProblem extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem | undefined,
  ) {
    super(problem?.title ? `${problem.title}: ${problem.detail}` : `status ${status}`);
  }
}

/** Returns a client of the gateway at `baseUrl`; its methods are typed by path. */
export function connect(baseUrl: string, apiKey?: string): Gateway {
  const headers = apiKey ? { Authorization: `Bearer ${apiKey}` } : undefined;
  return createClient<paths>({ baseUrl, headers });
}

/** Submits a picture; the same `idempotencyKey` is the same job for a day. */
export async function submit(
  gateway: Gateway,
  picture: Blob,
  options: Partial<JobOptions> = {},
  idempotencyKey: string = freshKey(),
): Promise<Job> {
  const form = new FormData();
  form.append("file", picture, "picture");
  for (const [name, value] of Object.entries(options)) {
    if (value instanceof Blob) form.append(name, value, name);
    else if (value !== undefined && value !== null) form.append(name, String(value));
  }
  const answer = await gateway.POST("/v1/jobs", {
    params: { header: { "Idempotency-Key": idempotencyKey } },
    body: form as never, // the schema has the fields, the request is the form
    bodySerializer: (body) => body as unknown as FormData,
  });
  return checked(answer);
}

/** Returns the job when it has ended; `told` hears how it stands meanwhile. */
export async function waitForJob(
  gateway: Gateway,
  jobId: string,
  told: (job: Job) => void = () => {},
): Promise<Job> {
  let wait = 0;
  for (;;) {
    const asked = Date.now();
    const params = { path: { job_id: jobId }, query: { wait } };
    const job: Job = checked(await gateway.GET("/v1/jobs/{job_id}", { params }));
    told(job);
    if (job.finished_at !== null) return job;
    const early = LEAST_PAUSE_MS - (Date.now() - asked);
    if (wait > 0 && early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    wait = LONGEST_WAIT_S;
  }
}

/** Returns what a finished job produced. */
export async function fetchResult(gateway: Gateway, jobId: string): Promise<Result> {
  const params = { path: { job_id: jobId } };
  return checked(await gateway.GET("/v1/jobs/{job_id}/result", { params }));
}

/** Returns the picture as `stage` left it. */
export async function fetchLayer(gateway: Gateway, jobId: string, stage: string): Promise<Blob> {
  const params = { path: { job_id: jobId, stage } };
  const answer = await gateway.GET("/v1/jobs/{job_id}/layers/{stage}", { params, parseAs: "blob" });
  return checked(answer) as unknown as Blob;
}

/** No two are to be the same; crypto.randomUUID is not there on pages without TLS. */
function freshKey(): string {
  const digits = () => Math.random().toString(36).slice(2);
  return `${Date.now().toString(36)}-${digits()}${digits()}`;
}

function checked<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (answer.data === undefined) {
    const told = answer.error; // a proxy's own page, say, is no problem of the gateway's
    const problem = typeof told === "object" ? (told as Problem) : undefined;
    throw new GatewayProblem(answer.response.status, problem);
  }
  return answer.data;
}
