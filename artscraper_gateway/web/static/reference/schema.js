/** What a schema of the OpenAPI description says, in words and as a table. */
import { element } from "../dom.js";

const SHAPES = "#/components/schemas/";

export const shapeName = (schema) =>
  schema.$ref?.startsWith(SHAPES) ? schema.$ref.slice(SHAPES.length) : null;

/** Returns the schema without "or null", where one kind is left. */
export function essence(schema) {
  const kinds = schema.anyOf?.filter((kind) => kind.type !== "null");
  return kinds?.length === 1 ? { ...schema, ...kinds[0], anyOf: undefined } : schema;
}

export const isFile = (schema) =>
  schema.format === "binary" || (schema.type === "array" && isFile(schema.items ?? {}));

/** Returns the kind of value: "file", "low, medium or high", "whole number, 16 to 2048". */
export function kind(schema) {
  const own = essence(schema);
  if (own.enum) return own.enum.join(", ").replace(/, (?=[^,]*$)/, " or ");
  if (own.const !== undefined) return String(own.const);
  if (own.$ref) return own.$ref.split("/").pop();
  if (own.type === "array") return `list of ${kind(own.items ?? {})}`;
  if (own.anyOf) return own.anyOf.filter((each) => each.type !== "null").map(kind).join(" or ");
  if (isFile(own)) return "file";
  const word = { string: "text", integer: "whole number", boolean: "true or false" };
  return [word[own.type] ?? own.type ?? "anything", limits(own)].filter(Boolean).join(", ");
}

function limits({ minimum, maximum, minLength, maxLength }) {
  const unit = maxLength === undefined && minLength === undefined ? "" : " characters";
  const [least, most] = unit ? [minLength, maxLength] : [minimum, maximum];
  if (least !== undefined && most !== undefined) return `${least} to ${most}${unit}`;
  if (least !== undefined) return `at least ${least}${unit}`;
  return most === undefined ? "" : `at most ${most}${unit}`;
}

/** Returns `kind`, with links to the shapes that it names. */
export function linkedKind(schema) {
  const own = essence(schema);
  const name = shapeName(own) ?? shapeName(own.items ?? {});
  if (!name) return [kind(schema)];
  const [before] = kind(schema).split(name);
  return [before, element("a", { href: `#shape-${name}` }, name)];
}

/** Returns the text as nodes; what stands between backticks is code. */
export const prose = (text) =>
  text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));

/** Returns a table of what has a name: rows of { name, note, schema, description }. */
export function namedTable(caption, rows) {
  const lines = rows.map(({ name, note, schema, description }) => {
    const given = essence(schema).default ?? schema.default;
    const standard = given === undefined || given === null ? "" : ` (default: ${given})`;
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, element("code", {}, name), note ? ` ${note}` : ""),
      element("td", {}, ...linkedKind(schema)),
      element("td", {}, ...prose((description ?? schema.description ?? "") + standard)),
    );
  });
  return scrollable(caption, ["Name", "Value", "Meaning"], lines);
}

/** Returns a table that scrolls by itself where the page is narrow. */
export function scrollable(caption, headings, lines) {
  const head = headings.map((text) => element("th", { scope: "col" }, text));
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    element(
      "table",
      {},
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...lines),
    ),
  );
}

/** Returns the rows of an object's properties. */
export const propertiesOf = ({ properties = {}, required = [] }) =>
  Object.entries(properties).map(([name, schema]) => ({
    name,
    schema,
    note: required.includes(name) ? "(always)" : "",
  }));
