/**
 * The page: what is set goes to the worker as one request, and what the worker tells is shown.
 */

import {CaptionError, WordTokenizer} from "./cascade/words.js";
import {paintPicture} from "./view/canvas.js";
import {at, showEmbedded, showEnlarged, showResult, showStep, showText, told} from "./view/show.js";
import {Way} from "./view/way.js";
import {WordField} from "./view/words.js";

const EXAMPLES = [
    "a big red circle above a small blue square", "a yellow star at night", "a crayon drawing of a green fish",
    "a purple flower left of an orange moon in a meadow", "a dotted picture of a pink heart at sunset",
];
const KNOBS = ["prior-guidance", "prior-steps", "decoder-guidance", "decoder-steps", "eta"];
const RANDOM = 10000;       // seeds of "Another one"

const worker = new Worker(new URL("./cascade/worker.js", import.meta.url), {type: "module"});
const state = {
    caption: "", size: 0, started: 0, first: 0, all: 0, serial: 0,
    /** @type {any[]} the decoder's steps, for the slider that looks at them */ steps: [], total: 0,
    /** @type {any} */ manifest: null, /** @type {Way | null} */ way: null,
    /** @type {WordTokenizer | null} */ tokenizer: null,
};

// -- from the page to the worker -----------------------------------------------------------------------------

/** All that is set, as a request. */
function request() {
    const number = (/** @type {string} */ id) => Number(at(id).value), {candidates} = state.manifest.settings;
    const {serial, caption, size} = state, seed = Math.min(Math.max(Math.trunc(number("seed")) || 0, 0), 999999);
    return {
        serial, caption, seed, size,
        prior: {guidance: number("prior-guidance"), steps: number("prior-steps"), candidates},
        decoder: {guidance: number("decoder-guidance"), steps: number("decoder-steps"), eta: number("eta")},
    };
}

/** Ask for the picture of what is set now. */
function draw() {
    if (!state.manifest) return;
    state.serial++;
    const wanted = request();
    at("seed").value = wanted.seed;                                     // what counts, whatever was typed
    state.started = performance.now();
    at("main").setAttribute("aria-busy", "true");
    at("status").textContent = `Drawing “${state.caption}” …`;
    worker.postMessage({kind: "draw", request: wanted});
    state.way?.forget();
}

/** Take the caption from its field, unless the library would refuse it. */
function submit() {
    if (!state.tokenizer || refuse("caption", at("caption").value)) return;
    state.caption = at("caption").value.trim();
    draw();
}

/** Show what is wrong with a caption, if anything is. @param {string} id @param {string} caption */
function refuse(id, caption) {
    let message = "";
    try {
        state.tokenizer?.encodeToDraw(caption);
    } catch (error) {
        if (!(error instanceof CaptionError)) throw error;
        message = error.message;
    }
    at(`${id}-error`).textContent = message;
    at(`${id}-error`).hidden = !message;
    at(id).setAttribute("aria-invalid", String(Boolean(message)));
    return Boolean(message);
}

/** What a slider is set to, beside its name. @param {string} id */
function tellKnob(id) {
    at(`${id}-value`).textContent = at(id).value;
}

// -- from the worker to the page -----------------------------------------------------------------------------

const HEARD = {
    manifest(/** @type {any} */ message) {
        const {first, all, sizes} = message;
        Object.assign(state, {manifest: message, first, all, size: sizes[1] ?? sizes[0]});
        state.tokenizer = new WordTokenizer(message.vocabulary, message.context);
        new WordField(at("caption"), at("caption-words"), message.vocabulary);
        new WordField(at("other"), at("other-words"), message.vocabulary);
        state.way = new Way(worker, request, (caption) => refuse("other", caption));
        setUp(message);
        submit();
    },
    received(/** @type {any} */ {bytes}) {
        const megabytes = (/** @type {number} */ n) => (n / 1e6).toFixed(1), early = bytes < state.first;
        at("bar").value = bytes / state.all;
        at("bar-text").textContent = `${megabytes(bytes)} of ${megabytes(state.all)} MB are here; ` +
            (early ? `the first picture takes ${megabytes(state.first)} MB` : "the rest is for larger pictures");
        at("loading").hidden = bytes >= state.all;
        at("sizes-text").textContent = `Everything is fetched once, when the page opens: ${megabytes(state.all)} MB.`;
    },
    text: showText,
    step(/** @type {any} */ {stage, number, ...step}) {
        if (stage !== "decoder") return;
        if (number === 1) state.steps = [];
        state.steps.push(step);
        scrubTo(number, Number(at("decoder-steps").value));
        showResult(step.x_0, state.caption, `step ${number} of the decoder`);
    },
    embedded: showEmbedded,
    decoded(/** @type {any} */ {steps, result, seconds}) {
        state.steps = steps;
        scrubTo(steps.length, steps.length);
        paintPicture(at("strip-small"), result);
        at("strip-small-text").textContent = `decoder: ${result.dims[3]} px`;
        at("decoder-text").textContent += ` All ${steps.length} took ${told(seconds)}.`;
        showResult(result, state.caption, "from the decoder");
        at("status").textContent = `The small picture of “${state.caption}” is there, after ${since()}.`;
    },
    enlarged(/** @type {any} */ message) {
        showEnlarged(message);
        showResult(message.result, state.caption, "from the upsampler");
    },
    between: (/** @type {any} */ message) => state.way?.show(message),
    done(/** @type {any} */ {of}) {
        if (of !== "draw") return;
        at("main").setAttribute("aria-busy", "false");
        at("status").textContent = `“${state.caption}” is drawn, after ${since()}.`;
    },
    refused(/** @type {any} */ {of, message}) {
        const id = of === "draw" ? "caption" : "other";
        at(`${id}-error`).textContent = message;
        at(`${id}-error`).hidden = false;
        if (of === "draw") at("main").setAttribute("aria-busy", "false");
    },
    failed(/** @type {any} */ {message}) {
        at("main").setAttribute("aria-busy", "false");
        at("loading").hidden = true;
        at("caption-error").textContent = message;
        at("caption-error").hidden = false;
    },
};

/** The time since the picture was asked for. */
function since() {
    return told((performance.now() - state.started) / 1000);
}

/** Show a step of the decoder, and move its slider there. @param {number} number from 1 @param {number} total */
function scrubTo(number, total) {
    at("scrub").max = total;
    at("scrub").value = number;
    state.total = total;
    tellKnob("scrub");
    showStep(state.steps[number - 1], number, total);
}

// -- at the start --------------------------------------------------------------------------------------------

/** The model's own settings, the sizes that it can draw, the examples. */
function setUp(/** @type {any} */ {settings, sizes}) {
    const own = {"prior-guidance": settings.prior_guidance, "prior-steps": settings.prior_steps,
                 "decoder-guidance": settings.decoder_guidance, "decoder-steps": settings.decoder_steps, eta: 0};
    for (const id of KNOBS) {
        at(id).value = own[id];
        tellKnob(id);
        at(id).addEventListener("input", () => {
            tellKnob(id);
            draw();
        });
    }
    document.querySelectorAll(".small-side").forEach((element) => { element.textContent = sizes[0]; });
    at("sizes").append(...sizes.slice(1).map(sizeButton));
    at("examples").append(...EXAMPLES.filter(readable).map(exampleButton));
    at("caption").value ||= EXAMPLES.find(readable) ?? "";
    at("other").value ||= EXAMPLES.filter(readable)[1] ?? "";
}

/** Whether this model knows all words of a caption. @param {string} caption */
function readable(caption) {
    return state.tokenizer?.words(caption).every((word) => state.tokenizer?.ids.has(word));
}

/** @param {number} side */
function sizeButton(side) {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, {type: "radio", name: "size", value: side, checked: side === state.size});
    input.addEventListener("change", () => {
        state.size = side;
        draw();
    });
    label.className = "inline";
    label.append(input, ` ${side} pixels`);
    return label;
}

/** @param {string} caption */
function exampleButton(caption) {
    const item = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.textContent = caption;
    button.addEventListener("click", () => {
        at("caption").value = caption;
        submit();
    });
    item.append(button);
    return item;
}

worker.addEventListener("message", ({data}) => {
    const late = data.of !== "way" && "serial" in data && data.serial !== state.serial;    // of an older request
    if (!late) HEARD[data.kind](data);
});
worker.addEventListener("error", () => {
    HEARD.failed({message: "this browser cannot start the page's worker: a newer one can"});
});
at("form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    submit();
});
at("seed").addEventListener("change", draw);
at("again").addEventListener("click", () => {
    at("seed").value = Math.floor(Math.random() * RANDOM);
    draw();
});
at("scrub").addEventListener("input", () => state.steps.length && scrubTo(Number(at("scrub").value), state.total));
