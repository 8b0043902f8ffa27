/**
 * The whole cascade, caption to picture: `UnCLIP` of minunclip/unclip.py, for one picture at a time.
 *
 *     caption --CLIP--> z_t, tokens --prior--> z_i --decoder--> small picture --upsamplers--> large picture
 *
 * The stages are generators: they yield a Step after every step, and return their result.
 *
 * @typedef {import("./diffusion.js").Tensor} Tensor
 * @typedef {import("./diffusion.js").Step} Step
 * @typedef {{embed: Tensor, tokens: Tensor, mask: {data: Uint8Array, dims: number[]}}} Text a batch of captions
 * @typedef {{steps: number, guidance: number, candidates: number}} PriorSettings
 * @typedef {{steps: number, guidance: number, eta: number}} DecoderSettings
 * @typedef {{z_i: Tensor, candidates: Tensor, likeness: number[], best: number}} Embedded
 */

import {ddim, Diffusion, guided, predictionOf} from "./diffusion.js";
import {rowsOf, timestepsOf} from "./graphs.js";
import {noiseOf} from "./noise.js";
import {enlarge} from "./resize.js";
import {WordTokenizer} from "./words.js";

export class Cascade {
    /** @param {import("./graphs.js").Graphs} graphs whose stages are open, or will be when they are asked for */
    constructor(graphs) {
        const {stages, vocabulary, context, sizes, settings} = graphs.manifest;
        this.graphs = graphs;
        this.stages = stages;
        this.sizes = sizes;
        this.settings = settings;
        this.tokenizer = new WordTokenizer(vocabulary, context);
    }

    /** z_t and the tokens of a caption. @param {string} caption @returns {Promise<Text>} */
    async encode(caption) {
        const ids = BigInt64Array.from(this.tokenizer.encode(caption), ({id}) => BigInt(id));
        const {embed, tokens} = await this.graphs.run("clip.text", {ids: {data: ids, dims: [1, ids.length]}});
        return {embed, tokens, mask: {data: new Uint8Array(ids.length).fill(1), dims: [1, ids.length]}};
    }

    /**
     * P(z_i | y): the prior draws some z_i for the caption, and the one nearest to z_t is kept (unCLIP section 2.2).
     * @param {Text} text
     * @param {number} seed
     * @param {PriorSettings} s
     * @returns {AsyncGenerator<Step, Embedded>}
     */
    async *embed(text, seed, s) {
        const {config, mean, std} = this.stages.prior, n = s.candidates, diffusion = new Diffusion(config.diffusion);
        const captions = await this.compared(text, n, s.guidance);
        const kept = await this.graphs.run("prior.read", captions);
        const denoiser = this.denoiser("prior.step", kept, s.guidance);
        const white = yield* ddim(diffusion, denoiser, noiseOf([config.z_width], seed, 0, n), s.steps);
        const D = config.z_width, all = white.data.map((z, i) => z * std[i % D] + mean[i % D]);
        const rows = Array.from({length: n}, (_, i) => all.subarray(i * D, (i + 1) * D));
        const likeness = rows.map((row) => cosine(row, text.embed.data));
        const best = likeness.indexOf(Math.max(...likeness));
        return {z_i: {data: rows[best].slice(), dims: [1, D]}, candidates: {data: all, dims: [n, D]}, likeness, best};
    }

    /**
     * P(x | z_i, y): the small picture.
     * @param {Tensor} z_i (1, D)
     * @param {Text} text
     * @param {number} seed
     * @param {DecoderSettings} s
     * @returns {AsyncGenerator<Step, Tensor>} (1, 3, S, S) in -1 to 1
     */
    async *decode(z_i, text, seed, s) {
        const {config, null_z} = this.stages.decoder, none = {data: Float32Array.from(null_z), dims: z_i.dims};
        const captions = await this.compared(text, 1, s.guidance), embeds = s.guidance === 1 ? z_i : rowsOf(none, z_i);
        const kept = await this.graphs.run("decoder.read", {z_i: embeds, ...captions});
        const denoiser = this.denoiser("decoder.step", kept, s.guidance);
        const noise = noiseOf([3, config.size, config.size], seed, 1);
        return clamped(yield* ddim(new Diffusion(config.diffusion), denoiser, noise, s.steps, s.eta));
    }

    /**
     * A picture, enlarged by upsampler `number` (0 is the first).
     * @param {Tensor} low (1, 3, s, s) in -1 to 1
     * @param {number} number
     * @param {number} seed
     * @returns {AsyncGenerator<Step, Tensor>} (1, 3, S, S) in -1 to 1
     */
    async *upsample(low, number, seed) {
        const stage = `upsampler-${number + 1}`, {config} = this.stages[stage];
        const low_res = enlarge(low, config.size), noise = noiseOf([3, config.size, config.size], seed, 2 + number);
        const steps = this.settings.upsampler_steps[number], denoiser = this.denoiser(`${stage}.step`, {low_res}, 1);
        return clamped(yield* ddim(new Diffusion(config.diffusion), denoiser, noise, steps));
    }

    /** A graph as a denoiser, guided if need be. What stays the same over all steps is given once. */
    denoiser(/** @type {string} */ graph, /** @type {Record<string, any>} */ kept, /** @type {number} */ guidance) {
        const plain = async (/** @type {Tensor} */ x_t, /** @type {number} */ t) => {
            const {output} = await this.graphs.run(graph, {...kept, x_t, t: timestepsOf(t, x_t.dims[0])});
            return predictionOf(output, x_t);
        };
        return guidance === 1 ? plain : guided(plain, guidance);
    }

    /** A caption n times, and before it, where guidance compares, the empty caption as often. */
    async compared(/** @type {Text} */ text, /** @type {number} */ n, /** @type {number} */ guidance) {
        const rows = Array(n).fill(text);
        if (guidance === 1) return repeated(rows);
        this.empty ??= await this.encode("");
        return repeated([...Array(n).fill(padded(this.empty, text.mask.dims[1])), ...rows]);
    }
}

/** @param {Text[]} texts of the same length @returns {Text} */
function repeated(texts) {
    const of = (/** @type {"embed" | "tokens" | "mask"} */ part) => rowsOf(...texts.map((text) => text[part]));
    return {embed: of("embed"), tokens: of("tokens"), mask: of("mask")};
}

/** The same caption with masked padding up to so many tokens. @param {Text} text @param {number} length */
function padded(text, length) {
    const width = text.tokens.dims[2], tokens = new Float32Array(length * width), mask = new Uint8Array(length);
    tokens.set(text.tokens.data);
    mask.set(text.mask.data);
    return {embed: text.embed, tokens: {data: tokens, dims: [1, length, width]}, mask: {data: mask, dims: [1, length]}};
}

/** @param {Tensor} x */
function clamped(x) {
    return {data: x.data.map((value) => Math.min(Math.max(value, -1), 1)), dims: x.dims};
}

/** The length of a vector. @param {Float32Array} x */
export function lengthOf(x) {
    return Math.sqrt(x.reduce((sum, value) => sum + value * value, 0));
}

/** @param {Float32Array} a @param {Float32Array} b */
export function cosine(a, b) {
    return a.reduce((sum, value, i) => sum + value * b[i], 0) / (lengthOf(a) * lengthOf(b));
}

/**
 * From a to b along the sphere (Shoemake 1985): the direction turns evenly, and the length changes evenly.
 * @param {Tensor} a
 * @param {Tensor} b
 * @param {number} theta 0 for a, 1 for b
 * @returns {Tensor}
 */
export function slerp(a, b, theta) {
    const [lengthA, lengthB] = [lengthOf(a.data), lengthOf(b.data)];
    const u = a.data.map((x) => x / lengthA), v = b.data.map((x) => x / lengthB);
    const apart = lengthOf(u.map((x, i) => x - v[i])), together = lengthOf(u.map((x, i) => x + v[i]));
    const angle = 2 * Math.atan2(apart, together), close = angle < 1e-4;     // where the arc is as good as a line
    const [fromA, fromB] = close ? [1 - theta, theta] : [Math.sin((1 - theta) * angle), Math.sin(theta * angle)];
    const turned = u.map((x, i) => fromA * x + fromB * v[i]);
    const size = ((1 - theta) * lengthA + theta * lengthB) / lengthOf(turned);
    return {data: turned.map((x) => x * size), dims: a.dims};
}
