/** What is said before anything is sent, and what can be chosen. */
import { element, find } from "./elements.js";
import { bytes, duration, knows, say, stageName } from "./strings.js";

export function showChoices(limits) {
  find("facts").replaceChildren(...facts(limits).map((text) => element("li", {}, text)));
  find("strengths").querySelector(`[value="${limits.strength}"]`).checked = true;
  find("stages").replaceChildren(...limits.stages.map(stageBox));
}

function facts(limits) {
  const size = { bytes: bytes(limits.max_upload_bytes), megapixels: limits.max_pixels / 1e6 };
  return [
    say("fact.size", size),
    limits.job_ttl
      ? say("fact.kept.ttl", { duration: duration(limits.job_ttl) })
      : say("fact.kept.ever"),
    ...(limits.max_disk ? [say("fact.disk", { bytes: bytes(limits.max_disk) })] : []),
    say("fact.place", { host: location.host }),
    say("fact.gps"),
  ];
}

function stageBox(stage) {
  const what = knows(`stage.${stage.name}.what`) ? say(`stage.${stage.name}.what`) : "";
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
      element("span", { class: "hint" }, stage.available ? what : `${what} (${say("stage.unavailable")})`),
    ),
  );
}

/** Returns what the reader chose, as the fields of a submission. */
export function chosen() {
  const form = new FormData(find("submit"));
  return { strength: form.get("strength"), stages: form.getAll("stage") };
}
