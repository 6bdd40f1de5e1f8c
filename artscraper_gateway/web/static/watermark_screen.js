/** Read the watermark of any picture. */
import { request } from "./api.js";
import { byId, element } from "./dom.js";
import { onChosen } from "./file_input.js";
import { cleanName } from "./names.js";
import { problemMessage } from "./problems.js";
import { formatPercent, t } from "./strings.js";
import { fileThumbnail } from "./thumbnails.js";

let readings = 0; // answers of older ones are dropped

export async function readWatermark([file]) {
  if (!file) return;
  readings += 1;
  const mine = readings;
  const place = byId("watermark-answer");
  const name = cleanName(file.name);
  place.replaceChildren(element("p", {}, t("mark.reading", { name })), element("progress", { "aria-label": name }));
  const form = new FormData();
  form.append("file", file, name);
  let answer;
  try {
    answer = readingPanel(file, await request("v1/watermarks/read", { method: "POST", form }));
  } catch (problem) {
    answer = element("div", { class: "panel answer" }, problemMessage(problem));
  }
  if (mine === readings) place.replaceChildren(answer);
}

function readingPanel(file, reading) {
  const rows = [];
  const row = (name, value) => rows.push(element("dt", {}, t(`mark.${name}`)), element("dd", {}, value));
  if (reading.payload) {
    row("payload", reading.payload);
    if (reading.text) row("text", reading.text);
    row("confidence", formatPercent(reading.confidence));
  }
  return element(
    "div",
    { class: "panel answer" },
    fileThumbnail(file),
    element("h2", {}, t(reading.payload ? "mark.found" : "mark.none")),
    rows.length ? element("dl", {}, ...rows) : null,
    reading.payload ? element("p", {}, ...jobWords(reading.job_id)) : null,
  );
}

function jobWords(jobId) {
  if (!jobId) return [t("mark.job.unknown")];
  return [`${t("mark.job")} `, element("a", { href: `#/jobs/${jobId}` }, t("mark.job.open"))];
}

export const setUpWatermarks = () => onChosen("watermark-file", readWatermark);
