/** Language and colour scheme, stored as cookies so that the gateway renders the page with them. */
import { byId } from "./dom.js";

const YEAR_S = 365 * 86400;

function store(name, value) {
  const path = new URL(".", location.href).pathname;
  document.cookie = `${name}=${value}; path=${path}; max-age=${value ? YEAR_S : 0}; SameSite=Lax`;
}

export function setUpPreferences() {
  byId("theme").addEventListener("change", ({ target }) => {
    store("theme", target.value);
    if (target.value) document.documentElement.dataset.theme = target.value;
    else delete document.documentElement.dataset.theme;
  });
  byId("language").addEventListener("change", ({ target }) => {
    store("language", target.value);
    location.reload();
  });
}
