/**
 * What a worker answers, wherever its files come from: the page fetches them, a notebook's panel has them inside.
 *
 * In:  {kind: "draw", request}, {kind: "way", request}, see studio.js
 * Out: what the studio tells, {kind: "manifest"} first
 */

import {Studio} from "./studio.js";

const RUNTIME = "ort-wasm-simd-threaded.wasm";
const FIRST = ["clip", "prior", "decoder"];     // what the first picture takes

/**
 * Open the stages, and draw whatever is asked for from now on.
 * @param {any} ort onnxruntime-web
 * @param {{manifest: () => Promise<any>, fetched: (name: string) => Promise<Uint8Array>,
 *          bytesOf: (names: string[]) => number}} files
 */
export function serve(ort, files) {
    const tell = (/** @type {any} */ message) => self.postMessage(plain(message, ort));
    const studio = new Studio(tell);
    const begun = begin(ort, files, studio, tell).catch((error) => tell({kind: "failed", message: error.message}));
    self.onmessage = async ({data: {kind, request}}) => {
        await begun;
        if (studio.cascade) studio.want(kind, request);
    };
}

async function begin(/** @type {any} */ ...[ort, files, studio, tell]) {
    const manifest = await files.manifest(), stages = Object.keys(manifest.stages);
    const {vocabulary, context, settings, sizes} = manifest;
    const [first, all] = [FIRST, stages].map((needed) => files.bytesOf([RUNTIME, ...filesOf(manifest, needed)]));
    tell({kind: "manifest", vocabulary, context, settings, sizes, first, all});
    ort.env.wasm.numThreads = 1;                // more would need a page that is isolated from other origins
    ort.env.wasm.wasmBinary = (await files.fetched(RUNTIME)).buffer;
    studio.start(ort, files, manifest);
}

/** The files of some stages. */
function filesOf(/** @type {any} */ manifest, /** @type {string[]} */ stages) {
    const entries = stages.map((stage) => manifest.stages[stage]);
    return entries.flatMap((stage) => [stage, ...Object.values(stage.graphs)].map(({file}) => file));
}

/** Typed arrays are copied on their way to the page; a tensor of onnxruntime's becomes a plain one. */
function plain(/** @type {any} */ value, /** @type {any} */ ort) {
    if (value instanceof ort.Tensor) return {data: value.data, dims: value.dims};
    if (Array.isArray(value)) return value.map((inner) => plain(inner, ort));
    if (value?.constructor !== Object) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner, ort)]));
}
