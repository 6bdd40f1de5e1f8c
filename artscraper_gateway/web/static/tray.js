/** The pictures that are ready to be sent, and their way to the gateway. */
import { announce } from "./announcer.js";
import { chosen } from "./choices.js";
import { element, find } from "./elements.js";
import { submit } from "./gateway.js";
import { addJob } from "./job_list.js";
import { keepName } from "./names.js";
import { ignoreStrayDrops, takePictures } from "./picture_input.js";
import { told } from "./problems.js";
import { bytes, percent, say } from "./strings.js";
import { emptyThumbnail, fileThumbnail } from "./thumbnails.js";

const AT_ONCE = 2; // uploads; more would only share the same line
const items = [];
let limits = null;

/** What is sent twice with one key, because an answer was lost, is accepted once. */
const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), String).join("-");

/** A picture, by its file or by its address. */
class Item {
  constructor({ file = null, address = null }) {
    Object.assign(this, { file, address, name: file?.name ?? address });
    this.key = newKey();
    this.state = element("div", { class: "state" }, file ? bytes(file.size) : "");
    this.remove = element(
      "button",
      { type: "button", class: "quiet", "aria-label": say("tray.remove", { name: this.name }), onclick: () => takeOut(this) },
      "✕",
    );
    this.element = element(
      "li",
      {},
      file ? fileThumbnail(file) : emptyThumbnail(),
      element("span", { class: "name", title: this.name }, this.name),
      this.state,
      this.remove,
    );
    this.refused = this.whyNot();
    if (this.refused) this.state.replaceChildren(this.refused);
  }

  whyNot() {
    const { file } = this;
    if (!file) return null;
    if (file.type && !file.type.startsWith("image/")) return wrong(say("tray.not_a_picture"));
    if (file.size <= limits.max_upload_bytes) return null;
    const sizes = { bytes: bytes(file.size), limit: bytes(limits.max_upload_bytes) };
    return wrong(say("tray.too_large", sizes));
  }

  async send(choices) {
    const progress = element("progress", { max: 1, value: 0, "aria-label": this.name });
    const words = element("span", {}, say("tray.sending", { percent: percent(0) }));
    this.state.replaceChildren(words, progress);
    this.remove.hidden = true;
    const onProgress = (share) => {
      progress.value = share;
      words.textContent = say("tray.sending", { percent: percent(share) });
    };
    try {
      const job = await submit({ ...this.body(choices), idempotencyKey: this.key, onProgress });
      keepName(job.job_id, this.name);
      addJob(job, this.file);
      return true;
    } catch (problem) {
      const words = told(problem);
      words.setAttribute("role", "alert");
      this.state.replaceChildren(words);
      this.remove.hidden = false;
      // The gateway may have read the choices of this key: other ones need another.
      if (problem.code !== "unreachable") this.key = newKey();
      return false;
    }
  }

  body({ strength, stages }) {
    if (this.address) return { json: { image_url: this.address, strength, stages } };
    const form = new FormData();
    form.append("file", this.file, this.name);
    form.append("strength", strength);
    form.append("stages", stages.join(","));
    return { form };
  }
}

const wrong = (text) => element("div", { class: "trouble", role: "alert" }, text);

function add(made) {
  items.push(...made);
  find("tray-list").append(...made.map((item) => item.element));
  show();
  announce(say("tray.added", { count: made.length }));
}

function takeOut(item) {
  const neighbour = item.element.nextElementSibling ?? item.element.previousElementSibling;
  items.splice(items.indexOf(item), 1);
  item.element.remove();
  show();
  (neighbour?.querySelector("button") ?? find("files")).focus();
}

function show() {
  const count = items.filter((item) => !item.refused).length;
  find("tray").hidden = items.length === 0;
  find("send").hidden = count === 0;
  find("send").textContent = say("tray.send", { count });
  find("submit-wrong").textContent = "";
}

async function send() {
  const choices = chosen();
  if (!choices.stages.length) {
    find("submit-wrong").textContent = say("tray.no_stage");
    return;
  }
  const waiting = items.filter((item) => !item.refused);
  for (const item of waiting) item.state.textContent = say("tray.waiting");
  find("send").disabled = true;
  const sent = [];
  const sender = async () => {
    for (let item = waiting.shift(); item; item = waiting.shift()) {
      if (await item.send(choices)) {
        sent.push(item);
        items.splice(items.indexOf(item), 1);
        item.element.remove();
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, sender));
  find("send").disabled = false;
  show();
  if (sent.length) announce(say("tray.all_sent", { count: sent.length }));
  (items.length ? find("send") : find("jobs-heading")).focus();
}

function addAddress() {
  const field = find("address");
  const isUsable = /^https?:\/\/[^\s/]+/i.test(field.value.trim()) && URL.canParse(field.value.trim());
  find("address-wrong").textContent = isUsable ? "" : say("address.wrong");
  field.setAttribute("aria-invalid", String(!isUsable));
  if (!isUsable) return field.focus();
  add([new Item({ address: field.value.trim() })]);
  field.value = "";
  return find("send").focus();
}

export function setUpTray(known) {
  limits = known;
  ignoreStrayDrops();
  const take = (files) => add(files.map((file) => new Item({ file })));
  takePictures({ drop: "drop", field: "files", screen: "protect", take });
  find("add-address").addEventListener("click", addAddress);
  find("address").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    addAddress();
  });
  find("clear-tray").addEventListener("click", () => {
    items.splice(0);
    find("tray-list").replaceChildren();
    show();
    find("files").focus();
  });
  find("submit").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!find("send").disabled) send();
  });
}
