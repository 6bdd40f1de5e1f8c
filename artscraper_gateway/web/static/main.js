/** Start the page: texts, session, limits; then show the screen that the address names. */
import { request } from "./api.js";
import { byId } from "./dom.js";
import { onDropped, onPasted } from "./file_input.js";
import { clearJobs, hideJob, listedRows, refreshJobs, setUpJobList, unhideJob } from "./job_list.js";
import { leaveJob, showJob } from "./job_screen.js";
import { setUpSelection } from "./job_selection.js";
import { showOptions } from "./options_form.js";
import { setUpPreferences } from "./preferences.js";
import { setUpPreview } from "./preview.js";
import { problemMessage, setLimits } from "./problems.js";
import { setUpSession, startSession } from "./session.js";
import { loadStrings, t } from "./strings.js";
import { commitDeletion, setUpUndo } from "./undo.js";
import { addFiles, setUpUploads } from "./uploads.js";
import { readWatermark, setUpWatermarks } from "./watermark_screen.js";

const RETRY_MS = 2000;
let isAllowed = false; // to make calls

const screenName = () => document.body.dataset.screen;

function showScreen(name) {
  document.body.dataset.screen = name;
  for (const screen of document.querySelectorAll("main [data-screen]")) {
    screen.hidden = screen.dataset.screen !== name;
  }
  const current = { protect: "#/", watermark: "#/watermark" }[name];
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.getAttribute("href") === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (name !== "job") document.title = `${t(`title.${name}`)} – ${t("title")}`;
  return document.querySelector(`main [data-screen="${name}"]`);
}

/** Show what the address names; its heading takes the focus unless the page has just loaded. */
async function route(event) {
  leaveJob();
  const [, kind, id] = location.hash.split("/");
  let screen;
  if (!isAllowed) screen = showScreen("sign-in");
  else if (kind === "jobs" && /^[0-9a-f]{32}$/.test(id)) {
    screen = showScreen("job");
    await showJob(screen, id);
  } else if (kind === "watermark") screen = showScreen("watermark");
  else {
    screen = showScreen("protect");
    refreshJobs();
  }
  if (!event) return;
  window.scrollTo(0, 0);
  if (document.activeElement !== byId("key")) screen.querySelector("h1")?.focus();
}

/** Pictures that are dropped or pasted go where the screen uses them. */
function take(files, strength = null) {
  if (screenName() === "sign-in") return;
  if (screenName() === "watermark") {
    readWatermark(files);
    return;
  }
  if (screenName() === "job") location.hash = "#/";
  addFiles(files, strength || null);
}

async function start() {
  try {
    isAllowed = await startSession();
    const limits = await request("v1/limits");
    setLimits(limits);
    showOptions(limits);
    setUpUploads(limits);
  } catch (problem) {
    const notice = byId("connection");
    notice.hidden = false;
    notice.replaceChildren(problemMessage(problem));
    setTimeout(start, RETRY_MS);
    return;
  }
  byId("connection").hidden = true;
  setUpSelection(listedRows);
  setUpUndo({ hide: hideJob, unhide: unhideJob });
  for (const setUp of [setUpJobList, setUpPreview, setUpWatermarks]) setUp();
  onDropped(byId("drop-overlay"), take);
  onPasted(() => screenName() !== "sign-in", take);
  await route(null);
  window.addEventListener("hashchange", route);
}

function signedOut() {
  isAllowed = false;
  clearJobs();
  route(new Event("signed-out"));
}

await loadStrings();
setUpPreferences();
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part behind # says which screen is shown
  byId("main").focus();
});
setUpSession({
  onSignedIn: () => {
    isAllowed = true;
    route(new Event("signed-in"));
  },
  beforeSignOut: commitDeletion,
  onSignedOut: signedOut,
});
window.addEventListener("signed-out", () => { if (isAllowed) signedOut(); });
start();
