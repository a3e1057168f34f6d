// Starts the parts of the page; the digits come first, what can wait waits.
import { startDigits } from "./digits.js";
import { keepPage } from "./drop.js";
import { startFooter } from "./footer.js";
import { startLayers } from "./layers.js";
import { startOffline } from "./offline.js";
import { startOwn } from "./own.js";
import { startWriter, warmWriter } from "./writer.js";

keepPage();
startLayers();
startOwn();
const writing = startWriter();
await startDigits();
startFooter();
await writing;
await Promise.all([startOffline(), warmWriter()]);
