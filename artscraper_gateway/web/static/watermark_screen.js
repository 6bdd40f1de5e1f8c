/** Reads the watermark of any picture. */
import { element, find } from "./elements.js";
import { ask } from "./gateway.js";
import { takePictures } from "./picture_input.js";
import { told } from "./problems.js";
import { percent, say } from "./strings.js";
import { fileThumbnail } from "./thumbnails.js";

let reading = 0; // the newest; answers of older ones come too late

async function read(files) {
  const [file] = files;
  if (!file) return;
  reading += 1;
  const mine = reading;
  const place = find("watermark-answer");
  place.replaceChildren(element("p", {}, say("mark.reading", { name: file.name })), element("progress", { "aria-label": file.name }));
  const form = new FormData();
  form.append("file", file);
  let answer;
  try {
    answer = shown(file, await ask("v1/watermarks/read", { method: "POST", form }));
  } catch (problem) {
    answer = element("div", { class: "panel answer" }, told(problem));
  }
  if (mine === reading) place.replaceChildren(answer);
}

function shown(file, found) {
  const rows = [];
  const row = (name, value) => rows.push(element("dt", {}, say(`mark.${name}`)), element("dd", {}, value));
  if (found.payload) {
    row("payload", found.payload);
    if (found.text) row("text", found.text);
    row("confidence", percent(found.confidence));
  }
  return element(
    "div",
    { class: "panel answer" },
    fileThumbnail(file),
    element("h2", {}, say(found.payload ? "mark.found" : "mark.none")),
    rows.length ? element("dl", {}, ...rows) : null,
    found.payload ? element("p", {}, ...jobWords(found.job_id)) : null,
  );
}

function jobWords(jobId) {
  if (!jobId) return [say("mark.job.unknown")];
  const link = element("a", { href: `#/jobs/${jobId}` }, say("mark.job.open"));
  return [`${say("mark.job")} `, link];
}

export function setUpWatermarks() {
  takePictures({ drop: "watermark-drop", field: "watermark-file", screen: "watermark", take: read });
}
