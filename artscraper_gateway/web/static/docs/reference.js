/** Start Swagger UI on this gateway's description, under whatever path the page is served. */
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
const showTheme = () => root.classList.toggle("dark-mode", (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark");
showTheme();
system.addEventListener("change", showTheme);

const base = new URL(".", document.baseURI);

/** Add the token that a browser's session needs for requests that change something. */
async function addCsrfToken(request) {
  if (["GET", "HEAD"].includes(request.method?.toUpperCase() ?? "GET")) return request;
  if (request.headers.Authorization || request.headers["X-API-Key"]) return request;
  const session = await fetch(new URL("v1/session", base));
  const { csrf_token: token } = session.ok ? await session.json() : {};
  if (token) request.headers["X-CSRF-Token"] = token;
  return request;
}

const answer = await fetch(new URL("openapi.json", base));
window.SwaggerUIBundle({
  spec: { ...(await answer.json()), servers: [{ url: base.pathname.replace(/\/$/, "") || "/" }] },
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayOperationId: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
  requestInterceptor: addCsrfToken,
  onComplete: () => { document.body.dataset.screen = "reference"; },
});
