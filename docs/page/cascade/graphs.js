/**
 * The networks: ONNX graphs that `minunclip export` wrote, run by onnxruntime.
 *
 * @typedef {import("./diffusion.js").Tensor} Tensor
 * @typedef {{data: Float32Array | BigInt64Array | Uint8Array, dims: readonly number[]}} Input
 * @typedef {{file: string, sha256: string, inputs: string[], outputs: string[]}} GraphEntry
 * @typedef {{file: string, sha256: string, config: any, graphs: Record<string, GraphEntry>}} StageEntry
 * @typedef {{stages: Record<string, StageEntry & Record<string, any>>, settings: any, sizes: number[],
 *            vocabulary: string[], context: number}} Manifest
 */

const TYPES = {Float32Array: "float32", BigInt64Array: "int64", Uint8Array: "bool"};

/** The graphs of the stages that were opened so far. */
export class Graphs {
    /** @param {any} ort onnxruntime-web @param {Manifest} manifest */
    constructor(ort, manifest) {
        this.ort = ort;
        this.manifest = manifest;
        /** @type {Map<string, any>} */
        this.sessions = new Map();
    }

    /**
     * Make the graphs of a stage ready.
     * @param {string} stage
     * @param {(file: string) => Promise<Uint8Array>} fetched the content of a file of the export
     */
    async open(stage, fetched) {
        const {file, graphs} = this.manifest.stages[stage], weights = await fetched(file);
        for (const [part, graph] of Object.entries(graphs)) {
            const options = {executionProviders: ["wasm"], externalData: [{path: file, data: weights}]};
            const session = await this.ort.InferenceSession.create(await fetched(graph.file), options);
            this.sessions.set(`${stage}.${part}`, session);
        }
    }

    /**
     * Run a graph. What it does not ask for is left out.
     * @param {string} name such as "decoder.step"
     * @param {Record<string, Input>} inputs
     * @returns {Promise<Record<string, Tensor>>} by the names of its outputs
     */
    async run(name, inputs) {
        const [stage, part] = name.split("."), {inputs: asked} = this.manifest.stages[stage].graphs[part];
        const feeds = Object.fromEntries(asked.map((key) => [key, this.tensor(inputs[key])]));
        return this.sessions.get(name).run(feeds);
    }

    /** @param {Input} input */
    tensor(input) {
        if (input instanceof this.ort.Tensor) return input;
        return new this.ort.Tensor(TYPES[input.data.constructor.name], input.data, input.dims);
    }
}

/** The timestep of each row of a batch, as a network takes it. @param {number} t @param {number} rows */
export function timestepsOf(t, rows) {
    return {data: new BigInt64Array(rows).fill(BigInt(t)), dims: [rows]};
}

/**
 * Batches one after the other, as one. @param {Input[]} parts of the same kind and shape, but for the rows
 * @returns {any}
 */
export function rowsOf(...parts) {
    const data = new /** @type {any} */ (parts[0].data.constructor)(parts.reduce((n, {data}) => n + data.length, 0));
    let place = 0;
    for (const part of parts) {
        data.set(part.data, place);
        place += part.data.length;
    }
    return {data, dims: [parts.reduce((n, {dims}) => n + dims[0], 0), ...parts[0].dims.slice(1)]};
}
