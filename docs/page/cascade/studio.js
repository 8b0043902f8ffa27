/**
 * What the worker does: it opens the stages one after the other, and draws what was asked for last.
 *
 * Every result is kept by the settings that it depends on. So another guidance of the decoder starts at the decoder,
 * and a slider that comes back shows its picture at once. A newer request ends an older one between two steps.
 *
 * @typedef {{serial: number, caption: string, seed: number, size: number,
 *            prior: import("./cascade.js").PriorSettings, decoder: import("./cascade.js").DecoderSettings}} Request
 * @typedef {Request & {other: string, thetas: number[]}} WayRequest
 */

import {Cascade, slerp} from "./cascade.js";
import {Graphs} from "./graphs.js";
import {enlarge} from "./resize.js";
import {CaptionError} from "./words.js";

const KEPT = 24;    // results of each kind

/** Thrown into a drawing that nobody waits for any more. */
class Superseded extends Error {}

export class Studio {
    /** @param {(message: any) => void} tell what the page is to know */
    constructor(tell) {
        this.tell = tell;
        /** @type {Record<string, Promise<void>>} by stage: done when it can be run */
        this.open = {};
        /** @type {Map<string, Map<string, any>>} */
        this.results = new Map();
        /** @type {{draw: Request | null, way: WayRequest | null}} */
        this.wanted = {draw: null, way: null};
        this.busy = false;
    }

    /**
     * Open the stages in the order in which they are needed. The manifest is there at once, the pictures follow.
     * @param {any} ort
     * @param {import("./files.js").Files} files
     * @param {import("./graphs.js").Manifest} manifest
     */
    start(ort, files, manifest) {
        const graphs = new Graphs(ort, manifest);
        this.cascade = new Cascade(graphs);
        let before = Promise.resolve();
        for (const stage of Object.keys(manifest.stages)) {
            this.open[stage] = before = before.then(() => graphs.open(stage, (name) => files.fetched(name)));
            before.catch((error) => this.tell({kind: "failed", message: error.message}));
        }
    }

    /** @param {"draw" | "way"} kind @param {any} request */
    want(kind, request) {
        this.wanted[kind] = request;
        if (!this.busy) this.work();
    }

    /** Serve the requests, drawings first, until there are none. */
    async work() {
        this.busy = true;
        while (this.wanted.draw || this.wanted.way) {
            const kind = this.wanted.draw ? "draw" : "way", request = this.wanted[kind];
            try {
                await (kind === "draw" ? this.draw(request) : this.way(request));
                this.tell({kind: "done", of: kind, serial: request.serial});
                if (this.wanted[kind] === request) this.wanted[kind] = null;
            } catch (error) {
                if (error instanceof Superseded) continue;
                const told = error instanceof CaptionError ? "refused" : "failed";
                this.tell({kind: told, of: kind, message: error.message, serial: request.serial});
                if (this.wanted[kind] === request) this.wanted[kind] = null;
            }
        }
        this.busy = false;
    }

    /** Caption to picture, up to the wanted size. @param {Request} request */
    async draw(request) {
        const {caption, seed, prior, decoder, serial} = request;
        const tell = (/** @type {any} */ message) => {
            this.check("draw", request);
            this.tell({...message, serial});
        };
        const text = await this.read(caption);
        tell({kind: "text", ...text});
        const embedded = await this.embed(request, tell);
        tell({kind: "embedded", ...embedded});
        const decoded = await this.kept("decode", {caption, seed, prior, decoder}, async () => {
            return this.run("decoder", this.cascade.decode(embedded.result.z_i, text.text, seed, decoder), tell);
        });
        tell({kind: "decoded", ...decoded});
        await this.enlarge(decoded.result, request, tell);
    }

    /** The upsamplers, up to the wanted size. */
    async enlarge(/** @type {any} */ picture, /** @type {Request} */ request, /** @type {(m: any) => void} */ tell) {
        const {size, serial, ...settings} = request;
        for (let number = 0; this.cascade.sizes[number] < size; number++) {
            const side = this.cascade.sizes[number + 1];
            const larger = await this.kept("enlarge", {side, ...settings}, async () => {
                const generator = this.cascade.upsample(picture, number, settings.seed);
                const check = () => this.check("draw", request);        // no step is told
                const {steps, ...drawn} = await this.run(`upsampler-${number + 1}`, generator, check);
                return {...drawn, steps: steps.length};                 // large ones are not kept
            });
            tell({kind: "enlarged", side, number, cubic: enlarge(picture, side), ...larger});
            picture = larger.result;
        }
    }

    /** Pictures on the way from one caption's z_i to another's: z_i alone decides, the decoder reads no caption. */
    async way(/** @type {WayRequest} */ request) {
        const {caption, other, seed, prior, decoder, thetas} = request, ends = [];
        const check = () => this.check("way", request);                 // no step is told
        for (const said of [caption, other]) {
            ends.push((await this.embed({caption: said, seed, prior}, check)).result.z_i);
        }
        const empty = await this.cascade.encode("");
        for (const theta of thetas) {
            const key = {caption, other, seed, prior, decoder, theta};
            const {result, seconds} = await this.kept("way", key, async () => {
                const z_i = slerp(ends[0], ends[1], theta);
                return this.run("decoder", this.cascade.decode(z_i, empty, seed, decoder), check);
            });
            this.tell({kind: "between", theta, result, seconds, request});
        }
    }

    /** A caption's tokens and z_t. @param {string} caption */
    async read(caption) {
        const tokens = this.cascade.tokenizer.encodeToDraw(caption);
        return this.kept("read", {caption}, async () => {
            await this.open.clip;
            const start = performance.now(), text = await this.cascade.encode(caption);
            return {caption, tokens, text, seconds: (performance.now() - start) / 1000};
        });
    }

    /** A caption's z_i. */
    async embed(/** @type {any} */ {caption, seed, prior}, /** @type {(message: any) => void} */ tell) {
        const {text} = await this.read(caption);
        return this.kept("embed", {caption, seed, prior}, async () => {
            await this.open.prior;
            return this.run("prior", this.cascade.embed(text, seed, prior), tell);
        });
    }

    /**
     * Run a stage: all its steps, the result, and the seconds it took.
     * @param {string} stage
     * @param {AsyncGenerator} generator
     * @param {(message: any) => void} tell hears of every step, and throws if nobody waits for this any more
     */
    async run(stage, generator, tell) {
        await this.open[stage];
        const start = performance.now(), steps = [];
        for (;;) {
            const {done, value} = await generator.next();
            if (done) return {steps, result: value, seconds: (performance.now() - start) / 1000};
            steps.push(value);
            await breath();
            tell({kind: "step", stage, number: steps.length, ...value});
        }
    }

    /** Raises Superseded if a newer request, or a drawing, is waiting. */
    check(/** @type {"draw" | "way"} */ kind, /** @type {any} */ request) {
        if (this.wanted[kind] !== request || (kind === "way" && this.wanted.draw)) throw new Superseded();
    }

    /** What was computed before for the same key, or else what `make` computes now. */
    async kept(/** @type {string} */ kind, /** @type {any} */ key, /** @type {() => Promise<any>} */ make) {
        const results = this.results.get(kind) ?? new Map(), name = JSON.stringify(key);
        this.results.set(kind, results);
        const found = results.get(name) ?? (await make());
        results.delete(name);                                           // and put it last: the first one goes
        results.set(name, found);
        if (results.size > KEPT) results.delete(results.keys().next().value);
        return found;
    }
}

/** Let waiting messages in. A timer would wait for 4 ms each time. */
function breath() {
    return new Promise((resolve) => {
        const {port1, port2} = new MessageChannel();
        port1.onmessage = () => {
            port1.close();
            resolve(undefined);
        };
        port2.postMessage(null);
    });
}
