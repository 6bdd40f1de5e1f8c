/** Original and protected picture under one divider; fitted, or pixel by pixel. */
import "./vendor/img-comparison-slider/index.js";
import { element } from "./elements.js";
import { layerPath, maskPath } from "./gateway.js";
import { percent, say, stageName } from "./strings.js";

const LARGE = 2048; // px of a longer side above which a fitted picture is a preview
const PREVIEWS = [640, 1280, 2048]; // px that previews are asked for in
const NOT_SHOWN = /\.tiff?$/i; // formats that browsers do not show
const STEP = 2, PAGE = 10; // percent that keys move the divider by

/** Shows the layers of one job; `layers` as summary.json has them, the original first. */
export class Comparison {
  constructor(jobId, layers) {
    Object.assign(this, { jobId, layers, zoom: "fit", view: "compare", place: 0.5 });
    this.size = layers[0].processing_size;
    this.element = element("div", { class: "stage-view" });
    this.hint = element("p", { class: "hint look-hint", role: "status" });
    this.element.addEventListener("scroll", () => this.holdDivider(), { passive: true });
    new ResizeObserver(() => this.fit()).observe(this.element);
  }

  show({ stage = this.stage, zoom = this.zoom, view = this.view }) {
    Object.assign(this, { stage, zoom, view });
    const inPixels = zoom !== "fit" && view === "compare";
    this.element.classList.toggle("pixels", inPixels);
    this.makeScrollable(inPixels);
    const focused = this.element.contains(document.activeElement);
    this.images = [];
    const content = view === "change" ? this.change() : this.compared();
    this.element.replaceChildren(content);
    this.fit();
    if (inPixels) this.centre();
    // Not before: the component tells of a move when it is put into the page, too.
    this.slider?.addEventListener("slide", () => this.dividerMoved());
    if (focused) this.slider?.focus();
    this.hint.textContent = this.hintWords(inPixels);
  }

  /** What scrolls has to be reachable by keyboard, and have a name. */
  makeScrollable(yes) {
    const attributes = { tabindex: "0", role: "region", "aria-label": say("look.region") };
    for (const [name, value] of Object.entries(attributes)) {
      if (yes) this.element.setAttribute(name, value);
      else this.element.removeAttribute(name);
    }
  }

  change() {
    this.slider = null;
    const alt = say("look.change.alt", { layer: stageName(this.stage) });
    return this.image(maskPath(this.jobId, this.stage), { alt });
  }

  compared() {
    this.slider = null;
    if (this.stage === "original") return this.layer("original", { alt: say("look.original") });
    const slider = element("img-comparison-slider", {
      value: String(this.place * 100),
      keyboard: "disabled", // its own keys move by time; ours by steps, as sliders do
      role: "slider",
      tabindex: "0",
      "aria-label": say("look.slider", { layer: stageName(this.stage) }),
      "aria-valuemin": "0",
      "aria-valuemax": "100",
    });
    slider.append(
      element("span", { slot: "handle", class: "handle" }, "‹ ›"),
      this.layer("original", { alt: "", slot: "first" }),
      this.layer(this.stage, { alt: "", slot: "second" }),
    );
    slider.addEventListener("keydown", (event) => this.key(event));
    this.slider = slider;
    this.tell();
    return slider;
  }

  layer(stage, properties) {
    const { path } = this.layers.find((each) => each.stage === stage);
    const isLarge = Math.max(...this.size) > LARGE;
    const small = (this.zoom === "fit" && isLarge) || NOT_SHOWN.test(path);
    return this.image(layerPath(this.jobId, stage, small ? this.previewSize() : null), properties);
  }

  image(src, properties) {
    const image = element("img", { src, decoding: "async", ...properties });
    image.addEventListener("error", () => { this.hint.textContent = say("look.unseen"); });
    this.images.push(image);
    return image;
  }

  previewSize() {
    const needed = Math.max(...this.fitted()) * devicePixelRatio;
    return this.zoom === "fit" ? (PREVIEWS.find((size) => size >= needed) ?? PREVIEWS.at(-1)) : PREVIEWS.at(-1);
  }

  /** Returns width and height in the page's pixels. */
  shownSize() {
    if (this.zoom === "fit" || this.view === "change") return this.fitted();
    return this.size.map((side) => (side * this.zoom) / devicePixelRatio);
  }

  fitted() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const scale = Math.min((width || 640) / this.size[0], (height || 480) / this.size[1], 4);
    return this.size.map((side) => Math.max(1, Math.floor(side * scale)));
  }

  fit() {
    if (!this.images) return;
    const [width, height] = this.shownSize();
    for (const image of this.images) Object.assign(image, { width, height });
    this.holdDivider();
  }

  centre() {
    this.element.scrollLeft = (this.element.scrollWidth - this.element.clientWidth) / 2;
    this.element.scrollTop = (this.element.scrollHeight - this.element.clientHeight) / 2;
    this.holdDivider();
  }

  /** While the pictures are scrolled the divider stays where it is in the window onto them. */
  holdDivider() {
    if (!this.slider) return;
    const [width, height] = this.shownSize();
    const { clientWidth, clientHeight, scrollLeft, scrollTop } = this.element;
    const seen = Math.min(width, clientWidth);
    this.slider.value = ((scrollLeft + this.place * seen) / width) * 100;
    const middle = (scrollTop + Math.min(height, clientHeight) / 2) / height;
    this.slider.style.setProperty("--handle-position-start", `${middle * 100}%`);
    this.tell();
  }

  dividerMoved() {
    const [width] = this.shownSize();
    const seen = Math.min(width, this.element.clientWidth);
    const at = (this.slider.value / 100) * width - this.element.scrollLeft;
    this.place = Math.min(1, Math.max(0, at / seen));
    this.tell();
  }

  key(event) {
    const moves = {
      ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP,
      PageDown: -PAGE, PageUp: PAGE, Home: -100, End: 100,
    };
    if (!(event.key in moves) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.place = Math.min(1, Math.max(0, this.place + moves[event.key] / 100));
    this.holdDivider();
  }

  tell() {
    const share = Math.round(this.place * 100);
    this.slider.setAttribute("aria-valuenow", share);
    this.slider.setAttribute("aria-valuetext", say("look.slider.value", { percent: percent(share / 100) }));
  }

  hintWords(inPixels) {
    if (this.view === "change") return say("look.change.hint");
    const keys = this.slider ? `${say("look.keys")} ` : "";
    if (inPixels) {
      const copied = NOT_SHOWN.test(this.layers[0].path) ? ` ${say("look.no_pixels")}` : "";
      return keys + say("look.pixels.hint", { factor: this.zoom }) + copied;
    }
    return keys + say("look.preview.hint");
  }
}
