/** Original and protected picture under one divider; fitted, or pixel by pixel. */
import "./vendor/img-comparison-slider/index.js";
import { layerPath, maskPath } from "./api.js";
import { element } from "./dom.js";
import { formatPercent, stageName, t } from "./strings.js";

const LARGE = 2048; // px of a longer side above which a fitted picture is a preview
const PREVIEWS = [640, 1280, 2048]; // px that previews are requested in
export const NOT_SHOWN = "image/tiff"; // what browsers cannot show
const STEP = 2, PAGE = 10; // percent that keys move the divider by
const MAX_ENLARGEMENT = 4; // of a fitted small picture

/** Shows the layers of one job; `layers` as in summary.json, the original first. */
export class Comparison {
  constructor(jobId, layers) {
    Object.assign(this, { jobId, layers, zoom: "fit", view: "compare", divider: 0.5, focus: null });
    this.size = layers[0].processing_size;
    this.images = [];
    this.element = element("div", { class: "stage-view" });
    this.hint = element("p", { class: "hint viewer-hint", role: "status" });
    this.element.addEventListener("scroll", () => this.holdDivider(), { passive: true });
    new ResizeObserver(() => this.fit()).observe(this.element);
  }

  /** Show a layer; `focus` { x, y } in shares of the picture is what pixels are centred on. */
  show({ stage = this.stage, zoom = this.zoom, view = this.view, focus = this.focus }) {
    Object.assign(this, { stage, zoom, view, focus });
    const inPixels = zoom !== "fit" && view === "compare";
    this.element.classList.toggle("pixels", inPixels);
    this.makeScrollable(inPixels);
    const hadFocus = this.element.contains(document.activeElement);
    this.images = [];
    this.element.replaceChildren(view === "change" ? this.changeImage() : this.comparedImages());
    this.fit();
    if (inPixels) this.centre();
    // Not before: the component also reports a move when it is put into the page.
    this.slider?.addEventListener("slide", () => this.dividerMoved());
    if (hadFocus) this.slider?.focus();
    this.hint.textContent = this.hintText(inPixels);
  }

  /** What scrolls has to be reachable by keyboard, and have a name. */
  makeScrollable(yes) {
    const attributes = { tabindex: "0", role: "region", "aria-label": t("viewer.region") };
    for (const [name, value] of Object.entries(attributes)) {
      if (yes) this.element.setAttribute(name, value);
      else this.element.removeAttribute(name);
    }
  }

  changeImage() {
    this.slider = null;
    const alt = t("viewer.change.alt", { layer: stageName(this.stage) });
    return this.image(maskPath(this.jobId, this.stage), { alt });
  }

  comparedImages() {
    this.slider = null;
    if (this.stage === "original") return this.layer("original", { alt: t("viewer.original") });
    const slider = element("img-comparison-slider", {
      value: String(this.divider * 100),
      keyboard: "disabled", // its own keys move with time; ours by steps, as sliders do
      role: "slider",
      tabindex: "0",
      "aria-label": t("viewer.slider", { layer: stageName(this.stage) }),
      "aria-valuemin": "0",
      "aria-valuemax": "100",
    });
    slider.append(
      element("span", { slot: "handle", class: "handle" }, "‹ ›"),
      this.layer("original", { alt: "", slot: "first" }),
      this.layer(this.stage, { alt: "", slot: "second" }),
    );
    slider.addEventListener("keydown", (event) => this.handleKey(event));
    this.slider = slider;
    this.describeDivider();
    return slider;
  }

  layer(stage, properties) {
    const { media_type: type } = this.layers.find((each) => each.stage === stage);
    const isLarge = Math.max(...this.size) > LARGE;
    const small = (this.zoom === "fit" && isLarge) || type === NOT_SHOWN;
    return this.image(layerPath(this.jobId, stage, small ? this.previewSize() : null), properties);
  }

  image(src, properties) {
    const image = element("img", { src, decoding: "async", ...properties });
    image.addEventListener("error", () => { this.hint.textContent = t("viewer.failed"); });
    this.images.push(image);
    return image;
  }

  previewSize() {
    const needed = Math.max(...this.fittedSize()) * devicePixelRatio;
    return this.zoom === "fit" ? (PREVIEWS.find((size) => size >= needed) ?? PREVIEWS.at(-1)) : PREVIEWS.at(-1);
  }

  /** Return width and height in CSS pixels. */
  shownSize() {
    if (this.zoom === "fit" || this.view === "change") return this.fittedSize();
    return this.size.map((side) => (side * this.zoom) / devicePixelRatio);
  }

  fittedSize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const scale = Math.min((width || 640) / this.size[0], (height || 480) / this.size[1], MAX_ENLARGEMENT);
    return this.size.map((side) => Math.max(1, Math.floor(side * scale)));
  }

  fit() {
    const [width, height] = this.shownSize();
    for (const image of this.images) Object.assign(image, { width, height });
    this.holdDivider();
  }

  centre() {
    const [width, height] = this.shownSize();
    const { x, y } = this.focus ?? { x: 0.5, y: 0.5 };
    this.element.scrollLeft = x * width - this.element.clientWidth / 2;
    this.element.scrollTop = y * height - this.element.clientHeight / 2;
    this.holdDivider();
  }

  /** While the pictures are scrolled the divider stays at its place in the window. */
  holdDivider() {
    if (!this.slider) return;
    const [width, height] = this.shownSize();
    const { clientWidth, clientHeight, scrollLeft, scrollTop } = this.element;
    const visible = Math.min(width, clientWidth);
    this.slider.value = ((scrollLeft + this.divider * visible) / width) * 100;
    const middle = (scrollTop + Math.min(height, clientHeight) / 2) / height;
    this.slider.style.setProperty("--handle-position-start", `${middle * 100}%`);
    this.describeDivider();
  }

  dividerMoved() {
    const [width] = this.shownSize();
    const visible = Math.min(width, this.element.clientWidth);
    const at = (this.slider.value / 100) * width - this.element.scrollLeft;
    this.divider = Math.min(1, Math.max(0, at / visible));
    this.describeDivider();
  }

  handleKey(event) {
    const moves = {
      ArrowLeft: -STEP, ArrowDown: -STEP, ArrowRight: STEP, ArrowUp: STEP,
      PageDown: -PAGE, PageUp: PAGE, Home: -100, End: 100,
    };
    if (!(event.key in moves) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.divider = Math.min(1, Math.max(0, this.divider + moves[event.key] / 100));
    this.holdDivider();
  }

  describeDivider() {
    const share = Math.round(this.divider * 100);
    this.slider.setAttribute("aria-valuenow", share);
    this.slider.setAttribute("aria-valuetext", t("viewer.slider.value", { percent: formatPercent(share / 100) }));
  }

  hintText(inPixels) {
    if (this.view === "change") return t("viewer.change.hint", { layer: stageName(this.stage) });
    const keys = this.slider ? `${t("viewer.keys")} ` : "";
    if (!inPixels) return keys + t("viewer.preview.hint");
    const copied = this.layers[0].media_type === NOT_SHOWN ? ` ${t("viewer.no_pixels")}` : "";
    return keys + t("viewer.pixels.hint", { factor: this.zoom }) + copied;
  }
}
