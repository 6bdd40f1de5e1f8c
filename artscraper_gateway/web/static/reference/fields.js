/** The fields of a form that makes a call, and the request that they add up to. */
import { element } from "../dom.js";
import { essence, isFile, kind } from "./schema.js";

const JSON_TYPE = "application/json";

/** Returns a labelled field; its input has `data-place` and `data-name`. */
export function field(id, { place, name, schema, required, value = "" }) {
  const own = essence(schema);
  const shared = { id, "data-place": place, "data-name": name, required };
  const label = element("label", { for: id }, name, required ? " (needed)" : "");
  return element("div", { class: "field" }, label, control(own, shared, value));
}

function control(schema, shared, value) {
  const choices = schema.enum ?? (schema.type === "boolean" ? ["true", "false"] : null);
  if (isFile(schema)) {
    return element("input", { ...shared, type: "file", multiple: schema.type === "array" });
  }
  if (choices) {
    const none = element("option", { value: "" }, "(left out)");
    return element("select", shared, none, ...choices.map((each) => element("option", {}, each)));
  }
  if (shared["data-place"] === "json") {
    return element("textarea", { ...shared, rows: "6", spellcheck: "false" }, value);
  }
  const hint = schema.type === "array" ? "several, separated by commas" : kind(schema);
  return element("input", { ...shared, type: "text", placeholder: hint, autocomplete: "off" });
}

/** Returns the body's fields for one media type. */
export function bodyFields(id, type, { schema, example, examples }) {
  if (type === JSON_TYPE) {
    const shown = example ?? Object.values(examples ?? {})[0]?.value ?? {};
    const value = JSON.stringify(shown, null, 2);
    return [field(`${id}-json`, { place: "json", name: "JSON", schema, required: true, value })];
  }
  return Object.entries(schema.properties).map(([name, part]) => {
    const required = (schema.required ?? []).includes(name);
    return field(`${id}-${name}`, { place: "form", name, schema: part, required });
  });
}

/** Returns { address, headers, body } of what is filled in; the address is relative to the page. */
export function requestOf(form, path) {
  const headers = {};
  const query = new URLSearchParams();
  const parts = new FormData();
  let address = path.slice(1);
  let body;
  for (const input of form.querySelectorAll("[data-place]")) {
    const { place, name } = input.dataset;
    if (!input.value) continue;
    if (place === "path") address = address.replace(`{${name}}`, encodeURIComponent(input.value));
    if (place === "query") for (const each of input.value.split(",")) query.append(name, each.trim());
    if (place === "header") headers[name] = input.value;
    if (place === "form") for (const each of input.files ?? [input.value]) parts.append(name, each);
    if (place === "form") body = parts;
    if (place === "json") {
      body = input.value;
      headers["Content-Type"] = JSON_TYPE;
    }
  }
  return { address: query.size ? `${address}?${query}` : address, headers, body };
}
