/** What the gateway accepts, and what can be chosen. */
import { byId, element } from "./dom.js";
import { formatBytes, formatDuration, hasText, stageName, t } from "./strings.js";

export const STRENGTHS = ["low", "medium", "high"];
const RIGHTS_TEXTS = ["copyright_notice", "usage_terms"];

export function showOptions(limits) {
  byId("facts").replaceChildren(...facts(limits).map((text) => element("li", {}, text)));
  byId("place").textContent = t("fact.place", { host: location.host });
  byId(`strength-${limits.strength}`).checked = true;
  byId("stages").replaceChildren(...limits.stages.map(stageBox));
  byId("stages").addEventListener("change", showRights);
  for (const name of RIGHTS_TEXTS) byId("submit").elements[name].placeholder = limits[name] ?? "";
  byId("submit").elements.allow_search_engines.checked = limits.allow_search_engines;
  showRights();
}

/** Show what belongs to the do-not-train statement while that is chosen; else nothing of it is sent. */
function showRights() {
  const isChosen = new FormData(byId("submit")).getAll("stage").includes("c2pa");
  byId("rights").hidden = byId("rights").disabled = !isChosen;
}

function facts(limits) {
  const size = { bytes: formatBytes(limits.max_upload_bytes), megapixels: limits.max_pixels / 1e6 };
  return [
    t("fact.size", size),
    limits.job_ttl
      ? t("fact.kept.ttl", { duration: formatDuration(limits.job_ttl) })
      : t("fact.kept.ever"),
    ...(limits.max_disk ? [t("fact.disk", { bytes: formatBytes(limits.max_disk) })] : []),
    t("fact.gps"),
  ];
}

function stageBox(stage) {
  const key = `stage.${stage.name}.what`;
  const description = hasText(key) ? t(key) : "";
  return element(
    "label",
    { class: "choice" },
    element("input", {
      type: "checkbox",
      name: "stage",
      value: stage.name,
      checked: stage.default && stage.available,
      disabled: !stage.available,
    }),
    element(
      "span",
      {},
      element("b", {}, stageName(stage.name)),
      element("span", { class: "hint" }, stage.available ? description : `${description} (${t("stage.unavailable")})`),
    ),
  );
}

/** Return what was entered; the gateway completes it by its own notice and terms. */
function chosenRights(form) {
  const texts = RIGHTS_TEXTS.map((name) => [name, form.get(name).trim()]).filter(([, text]) => text);
  return { ...Object.fromEntries(texts), allow_search_engines: form.has("allow_search_engines") };
}

/** Return the chosen options, as fields of a submission. */
export function chosenOptions() {
  const form = new FormData(byId("submit"));
  const rights = byId("rights").disabled ? {} : chosenRights(form);
  return { strength: form.get("strength"), stages: form.getAll("stage"), rights };
}
