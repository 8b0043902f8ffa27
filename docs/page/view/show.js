/**
 * What the worker tells, shown: a function for each kind of message.
 */

import {paintPicture, paintRows} from "./canvas.js";

/** @param {string} id @returns {any} the element */
export function at(id) {
    return document.getElementById(id);
}

/** What a screen reader says of a picture. @param {string} id @param {string} words */
function label(id, words) {
    at(id).setAttribute("aria-label", words);
}

/** Seconds, as a reader wants them. @param {number} seconds */
export function told(seconds) {
    return seconds < 0.1 ? `${Math.max(1, Math.round(1000 * seconds))} ms` : `${seconds.toFixed(1)} s`;
}

/** Rows of a (N, D) tensor. @param {{data: Float32Array, dims: number[]}} x */
function rowsOf({data, dims}) {
    const width = dims[dims.length - 1];
    return Array.from({length: data.length / width}, (_, i) => data.subarray(i * width, (i + 1) * width));
}

/** A row of numbers as a block with the shape of a picture, for a small view. @param {Float32Array} row */
function block(row) {
    const width = Math.ceil(Math.sqrt(row.length)), height = Math.ceil(row.length / width);
    return Array.from({length: height}, (_, i) => padded(row.subarray(i * width, (i + 1) * width), width));
}

/** @param {Float32Array} row @param {number} width */
function padded(row, width) {
    const whole = new Float32Array(width);
    whole.set(row);
    return whole;
}

/** @param {ArrayLike<number>} x */
function lengthOf(x) {
    return Math.sqrt(Array.from(x).reduce((sum, value) => sum + value * value, 0));
}

/** Section 1: tokens, z_t, the tokens' vectors. */
export function showText(/** @type {any} */ {caption, tokens, text, seconds}) {
    at("tokens").replaceChildren(...tokens.map(({word, id}, /** @type {number} */ i) => {
        const [item, name, number] = ["li", "span", "small"].map((kind) => document.createElement(kind));
        name.textContent = word;
        name.className = i === 0 || i === tokens.length - 1 ? "mark" : "";
        number.textContent = id;
        item.append(name, " ", number);
        return item;
    }));
    at("strip-tokens").textContent = tokens.length;
    const z_t = text.embed.data;
    paintRows(at("zt"), [z_t], 36);
    paintRows(at("strip-zt"), block(z_t), 0);
    paintRows(at("vectors"), rowsOf(text.tokens), 12);
    label("zt", `The text embedding of “${caption}”: ${z_t.length} numbers, drawn as a strip of colours`);
    label("vectors", `The vectors of the ${tokens.length} tokens, a row of colours for each`);
    at("zt-text").innerHTML = `z<sub>t</sub>: ${z_t.length} numbers, of length ${lengthOf(z_t).toFixed(1)}; ` +
        `computed in ${told(seconds)}.`;
}

/** Section 2: the prior's estimates and what it kept. */
export function showEmbedded(/** @type {any} */ {steps, result, seconds}) {
    const {z_i, likeness, best} = result, rows = steps.map(({x_0}) => rowsOf(x_0)[best]);
    paintRows(at("prior-steps-heat"), rows, Math.max(4, Math.min(12, 180 / rows.length)));
    paintRows(at("zi"), [z_i.data], 36);
    paintRows(at("strip-zi"), block(z_i.data), 0);
    label("prior-steps-heat", `What the prior expects at each of ${rows.length} steps, a row of colours for each`);
    label("zi", `The image embedding: ${z_i.data.length} numbers, drawn as a strip of colours`);
    const all = likeness.map((/** @type {number} */ x) => x.toFixed(3)).join(" and ");
    at("zi-text").innerHTML = `z<sub>i</sub>, of length ${lengthOf(z_i.data).toFixed(1)}. Likeness to z<sub>t</sub> ` +
        `(cosine) of the candidates: ${all}; ${likeness.length > 1 ? `number ${best + 1} was kept` : "one is enough"}. ` +
        `${steps.length} steps in ${told(seconds)}.`;
}

/** Section 3: a step of the decoder. */
export function showStep(/** @type {any} */ {x_t, x_0, t}, /** @type {number} */ number, /** @type {number} */ total) {
    paintPicture(at("noisy"), x_t);
    paintPicture(at("expected"), x_0);
    label("noisy", `The picture after step ${number} of ${total}, with the noise that is left`);
    label("expected", `What the decoder expects at step ${number} of ${total}`);
    at("decoder-text").textContent = `Step ${number} of ${total}, at timestep ${t} of 999.`;
}

/** The picture at the top, with whatever stage has drawn it. */
export function showResult(/** @type {any} */ picture, /** @type {string} */ caption, /** @type {string} */ stage) {
    const side = picture.dims[3];
    for (const id of ["result", "prior-picture"]) {
        paintPicture(at(id), picture);
        label(id, `${caption}, drawn at ${side} pixels`);
    }
    at("result-text").textContent = `“${caption}”, ${side} × ${side} pixels, ${stage}`;
}

/** Section 4: a formula beside an upsampler. */
export function showEnlarged(/** @type {any} */ {cubic, result, seconds, side, steps}) {
    paintPicture(at("cubic"), cubic);
    paintPicture(at("large"), result);
    paintPicture(at("strip-large"), result);
    at("strip-large-text").textContent = `upsampler: ${side} px`;
    label("cubic", `The picture enlarged to ${side} pixels by a formula: its edges are soft`);
    label("large", `The picture enlarged to ${side} pixels by the upsampler`);
    at("large-text").textContent = `by the upsampler, ${side} pixels: ${steps} steps in ${told(seconds)}`;
}
