/** Signing in, where the gateway asks for a key; the browser's scripts never keep it. */
import { find } from "./elements.js";
import { ask, setCsrfToken } from "./gateway.js";
import { forgetNames } from "./names.js";
import { told } from "./problems.js";

/** Returns whether calls can be made; `needs_key` of a gateway without keys is false. */
export async function startSession() {
  return take(await ask("v1/session"));
}

function take(session) {
  setCsrfToken(session.csrf_token);
  find("sign-out").hidden = !session.signed_in;
  return session.signed_in || !session.needs_key;
}

export function setUpSession({ signedIn, signedOut }) {
  const field = find("key");
  find("sign-in").addEventListener("submit", async (event) => {
    event.preventDefault();
    find("key-wrong").replaceChildren();
    try {
      take(await ask("v1/session", { method: "POST", json: { key: field.value.trim() } }));
      field.value = "";
      signedIn();
    } catch (problem) {
      find("key-wrong").replaceChildren(told(problem));
      field.focus();
    }
  });
  find("sign-out").addEventListener("click", async () => {
    take(await ask("v1/session", { method: "DELETE" }));
    forgetNames();
    signedOut();
  });
}
