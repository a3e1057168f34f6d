// Registers the service worker, and offers an update that waits.
import { element } from "./elements.js";

const state = element("offline", HTMLElement);
const button = element("update", HTMLButtonElement);

/** @param {ServiceWorkerRegistration} registration */
function offerUpdate(registration) {
  // The first one takes over at once; later ones wait, since this page still uses files of the one before.
  if (!registration.waiting || !navigator.serviceWorker.controller) return;
  button.hidden = false;
  button.onclick = () => {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    registration.waiting?.postMessage("take over");
  };
}

export async function startOffline() {
  if (!("serviceWorker" in navigator) || !isSecureContext) {
    state.textContent = "needs https";
    return;
  }
  state.textContent = "preparing";
  try {
    const registration = await navigator.serviceWorker.register(new URL("./sw.js", import.meta.url), { updateViaCache: "none" });
    offerUpdate(registration);
    registration.addEventListener("updatefound", () => {
      registration.installing?.addEventListener("statechange", () => offerUpdate(registration));
    });
    await navigator.serviceWorker.ready;
    state.textContent = "works";
  } catch (error) {
    // Without a network the registered one serves on; elsewhere the page works as before.
    state.textContent = navigator.serviceWorker.controller ? "works" : "not here";
    if (navigator.onLine) console.info(`no service worker: ${error}`);
  }
}
