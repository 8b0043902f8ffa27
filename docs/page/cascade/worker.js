/**
 * The networks run here, beside the page, which therefore never stalls.
 *
 * In:  {kind: "draw", request}, {kind: "way", request}, see studio.js
 * Out: what the studio tells, {kind: "manifest"} first, {kind: "received"} while files come in
 */

import * as ort from "../runtime/ort.wasm.bundle.min.mjs";
import {Files} from "./files.js";
import {Studio} from "./studio.js";

const RUNTIME = "ort-wasm-simd-threaded.wasm";
const FIRST = ["clip", "prior", "decoder"];     // what the first picture takes

const studio = new Studio(tell);
let received = 0;
const files = new Files(new URL("../", import.meta.url).href, (bytes) => {
    received += bytes;
    tell({kind: "received", bytes: received});
});

/** Typed arrays are copied on their way to the page; a tensor of onnxruntime's becomes a plain one. */
function tell(/** @type {any} */ message) {
    self.postMessage(plain(message));
}

/** @param {any} value */
function plain(value) {
    if (value instanceof ort.Tensor) return {data: value.data, dims: value.dims};
    if (Array.isArray(value)) return value.map(plain);
    if (value?.constructor !== Object) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

/** The files of some stages. */
function filesOf(/** @type {any} */ manifest, /** @type {string[]} */ stages) {
    const entries = stages.map((stage) => manifest.stages[stage]);
    return entries.flatMap((stage) => [stage, ...Object.values(stage.graphs)].map(({file}) => file));
}

async function begin() {
    const manifest = await files.manifest(), stages = Object.keys(manifest.stages);
    const {vocabulary, context, settings, sizes} = manifest;
    const [first, all] = [FIRST, stages].map((needed) => files.bytesOf([RUNTIME, ...filesOf(manifest, needed)]));
    tell({kind: "manifest", vocabulary, context, settings, sizes, first, all});
    ort.env.wasm.numThreads = 1;                // more would need a page that is isolated from other origins
    ort.env.wasm.wasmBinary = (await files.fetched(RUNTIME)).buffer;
    studio.start(ort, files, manifest);
}

const begun = begin().catch((error) => tell({kind: "failed", message: error.message}));
self.onmessage = async ({data: {kind, request}}) => {
    await begun;
    if (studio.cascade) studio.want(kind, request);
};
