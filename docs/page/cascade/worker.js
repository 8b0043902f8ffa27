/**
 * The networks run here, beside the page, which therefore never stalls: see serve.js for what it hears and tells.
 * While files come in, it also tells {kind: "received"}.
 */

import * as ort from "../runtime/ort.wasm.bundle.min.mjs";
import {Files} from "./files.js";
import {serve} from "./serve.js";

let received = 0;
serve(ort, new Files(new URL("../", import.meta.url).href, (bytes) => {
    received += bytes;
    self.postMessage({kind: "received", bytes: received});
}));
