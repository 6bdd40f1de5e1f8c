/** Shows every operation of openapi.json: what it takes, what it answers, and a form to try it. */
import { element, byId as find } from "../dom.js";
import { linkedKind, namedTable, propertiesOf, prose, scrollable, shapeName } from "./schema.js";
import { trial } from "./trial.js";

const METHODS = ["get", "post", "put", "patch", "delete"];

function operationsOf(description) {
  return Object.entries(description.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => method in item).map((method) => ({
      ...item[method],
      path,
      id: item[method].operationId,
      method: method.toUpperCase(),
      group: item[method].tags?.[0] ?? "other",
      parameters: item[method].parameters ?? [],
      content: withShapes(item[method].requestBody?.content ?? {}, description),
    })),
  );
}

/** Returns the body's media types with their schemas in the place of references to them. */
function withShapes(content, { components }) {
  return Object.fromEntries(
    Object.entries(content).map(([type, body]) => {
      const name = shapeName(body.schema ?? {});
      return [type, name ? { ...body, schema: components.schemas[name] } : body];
    }),
  );
}

/** Returns what is closed at first; its inside is made when it is opened. */
function shownOperation(operation) {
  const { id, method, path, summary } = operation;
  const head = element(
    "summary",
    {},
    element("span", { class: "method", "data-method": method }, method),
    " ",
    element("code", {}, path),
    " ",
    element("span", { class: "hint" }, summary),
  );
  const details = element("details", { id, class: "operation" }, head);
  details.addEventListener("toggle", () => {
    if (details.children.length === 1) details.append(inside(operation));
  });
  return details;
}

function inside(operation) {
  const { description = "", parameters, content, responses } = operation;
  const paragraphs = description.split("\n\n").filter(Boolean);
  return element(
    "div",
    { class: "inside" },
    ...paragraphs.map((text) => element("p", {}, ...prose(text))),
    parameters.length ? namedTable("Parameters", parameters.map(parameterRow)) : null,
    ...Object.entries(content).map(([type, { schema }]) => bodyTable(type, schema)),
    scrollable("Answers", ["Status", "Meaning", "Body"], answerRows(responses)),
    trial(operation),
  );
}

const parameterRow = ({ name, in: place, required, schema, description }) => ({
  name,
  note: `(${place}${required ? ", needed" : ""})`,
  schema,
  description,
});

function bodyTable(type, schema) {
  if (shapeName(schema)) return element("p", {}, `Body, ${type}: `, ...linkedKind(schema));
  const rows = propertiesOf(schema).map((row) => ({ ...row, note: row.note && "(needed)" }));
  return namedTable(`Body, ${type}`, rows);
}

function answerRows(responses) {
  return Object.entries(responses).map(([status, { description, content = {} }]) => {
    const [[type, { schema = {}, example, examples }] = ["", {}]] = Object.entries(content);
    const shown = example ?? Object.values(examples ?? {})[0]?.value;
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, status),
      element("td", {}, ...prose(description)),
      element(
        "td",
        {},
        type,
        ...(shapeName(schema) ? [" ", ...linkedKind(schema)] : []),
        shown === undefined ? null : exampleOf(shown),
      ),
    );
  });
}

function exampleOf(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return element("details", {}, element("summary", {}, "example"), element("pre", { tabindex: "0" }, text));
}

function shownShape([name, schema]) {
  const table = namedTable(name, propertiesOf(schema));
  const words = element("span", { class: "hint" }, ...prose(schema.description ?? ""));
  table.querySelector("caption").append(" ", words);
  return element("div", { id: `shape-${name}`, class: "shape" }, table);
}

function show(description) {
  const groups = new Map();
  for (const operation of operationsOf(description)) {
    groups.set(operation.group, [...(groups.get(operation.group) ?? []), operation]);
  }
  for (const [name, operations] of groups) {
    const heading = element("h2", { id: `group-${name}` }, name);
    const section = { class: "group", "aria-labelledby": `group-${name}` };
    find("operations").append(element("section", section, heading, ...operations.map(shownOperation)));
  }
  find("shapes").append(...Object.entries(description.components?.schemas ?? {}).map(shownShape));
  find("shapes").hidden = false;
}

/** Opens what the address names; the browser has looked for it before it was there. */
function goToNamed() {
  const named = document.getElementById(location.hash.slice(1));
  if (named?.matches("details")) named.open = true;
  named?.scrollIntoView();
}

try {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
  show(await answer.json());
  goToNamed();
  window.addEventListener("hashchange", goToNamed);
} catch (error) {
  find("trouble").textContent = `The description of the calls, openapi.json, cannot be read: ${error.message}. Load the page again.`;
  find("trouble").hidden = false;
}
document.body.dataset.screen = "reference";
