/** A form that makes one call, and shows what came back. */
import { element, byId as find } from "../dom.js";
import { bodyFields, field, requestOf } from "./fields.js";

const SHOWN_CHARACTERS = 100_000;
const AS_TEXT = /^(text\/|application\/(problem\+)?json)/;

/** Returns the form of an operation: { id, method, path, parameters, content }. */
export function trial({ id, method, path, parameters, content }) {
  const types = Object.keys(content);
  const body = element("div", { class: "fields" });
  const fill = (type) => body.replaceChildren(...(type ? bodyFields(id, type, content[type]) : []));
  fill(types[0]);
  const answer = element("div", { class: "came", role: "status" });
  const stop = element("button", { type: "button", class: "secondary", hidden: true }, "Stop");
  const kind = method === "DELETE" ? "danger" : "primary";
  const form = element(
    "form",
    { class: "trial", "aria-label": `Try ${method} ${path}` },
    element("h3", {}, "Try it"),
    element("div", { class: "fields" }, ...parameters.map((each) => parameterField(id, each))),
    types.length > 1 ? typeChoice(id, types, fill) : null,
    body,
    element("div", { class: "actions" }, element("button", { class: kind }, `Send ${method}`), stop),
    answer,
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send({ method, request: requestOf(form, path), answer, stop });
  });
  return form;
}

const parameterField = (id, { name, in: place, required, schema }) =>
  field(`${id}-${place}-${name}`, { place, name, required, schema });

function typeChoice(id, types, fill) {
  const options = types.map((type) => element("option", {}, type));
  const onchange = ({ target }) => fill(target.value);
  return element(
    "div",
    { class: "field" },
    element("label", { for: `${id}-type` }, "Body"),
    element("select", { id: `${id}-type`, onchange }, ...options),
  );
}

async function send({ method, request, answer, stop }) {
  const { address, headers, body } = request;
  const line = element("p", {}, `${method} /${address} …`);
  answer.replaceChildren(line);
  const control = new AbortController();
  const end = () => control.abort();
  stop.addEventListener("click", end);
  stop.hidden = false;
  const begun = performance.now();
  try {
    const who = await identity(method);
    const asked = { method, headers: { ...who, ...headers }, body, signal: control.signal };
    const came = await fetch(address, asked);
    const took = Math.round(performance.now() - begun);
    line.textContent = `${method} /${address} answered ${came.status} in ${took} ms.`;
    await show(came, answer);
  } catch (error) {
    const reason = control.signal.aborted ? "It was stopped." : `No answer came: ${error.message}`;
    answer.append(element("p", {}, reason));
  } finally {
    stop.removeEventListener("click", end);
    stop.hidden = true;
  }
}

/** Returns the headers that say who calls: the key given here, else that of the page's sign-in. */
async function identity(method) {
  const key = find("key").value.trim();
  if (key) return { Authorization: `Bearer ${key}` };
  if (method === "GET") return {};
  const { csrf_token: token } = await (await fetch("v1/session")).json();
  return token ? { "X-CSRF-Token": token } : {};
}

async function show(came, answer) {
  const type = came.headers.get("Content-Type") ?? "";
  if (!AS_TEXT.test(type)) {
    const content = await came.blob();
    if (content.size) answer.append(saveLink(content, type));
    return;
  }
  const shown = element("pre", { tabindex: "0", role: "group", "aria-label": "The answer" });
  answer.append(shown);
  const decoder = new TextDecoder();
  let text = "";
  // Part by part: a stream of events has no end that could be waited for.
  for (let reader = came.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
    shown.textContent = text.slice(-SHOWN_CHARACTERS);
  }
  if (type.includes("json")) shown.textContent = JSON.stringify(JSON.parse(text), null, 2);
}

function saveLink(content, type) {
  const href = URL.createObjectURL(content);
  const ending = type.split(";")[0].split("/").pop();
  const words = `Save the answer: ${type}, ${content.size} bytes`;
  return element("p", {}, element("a", { href, download: `answer.${ending}` }, words));
}
