/**
 * The guidance explorer of a notebook, alive in an exported page: a caption, a guidance, a seed, and the picture.
 *
 * One worker for each panel. What the page holds for it, build.py has put there: the worker's script in #live-worker,
 * the manifest in #live-manifest, and every file in a script of the class live-file.
 */

import {paintPicture} from "../page/view/canvas.js";
import {WordField} from "../page/view/words.js";

const text = (/** @type {string} */ id) => document.getElementById(id)?.textContent ?? "";
const files = Object.fromEntries([...document.querySelectorAll(".live-file")].map((element) => {
    return [/** @type {HTMLElement} */ (element).dataset.name, element.textContent?.trim()];
}));
const manifest = JSON.parse(text("live-manifest"));
const script = URL.createObjectURL(new Blob([text("live-worker")], {type: "text/javascript"}));

class Panel {
    /** @param {HTMLElement} root */
    constructor(root) {
        this.root = root;
        this.serial = 0;
        this.started = 0;
        this.size = Math.min(Number(root.dataset.size), Math.max(...manifest.sizes));
        new WordField(this.at("caption"), this.at("words"), manifest.vocabulary);
        this.at("guidance").addEventListener("input", () => this.draw());
        this.at("seed").addEventListener("change", () => this.draw());
        this.at("form").addEventListener("submit", (/** @type {Event} */ event) => {
            event.preventDefault();
            this.draw();
        });
        this.worker = new Worker(script);
        this.worker.addEventListener("message", ({data}) => this.hear(data));
        this.worker.addEventListener("error", () => {
            this.refuse("this browser cannot start the panel's worker: a newer one can");
        });
        this.worker.postMessage({manifest, files});
        this.draw();
    }

    /** @param {string} part @returns {any} the element of this panel */
    at(part) {
        return this.root.querySelector(`.live-${part}`);
    }

    /** Ask for the picture of what is set now. */
    draw() {
        const {settings} = manifest, seed = Math.min(Math.max(Math.trunc(this.at("seed").value) || 0, 0), 2 ** 31);
        const guidance = Number(this.at("guidance").value);
        this.at("seed").value = seed;                                   // what counts, whatever was typed
        this.at("value").textContent = guidance;
        this.root.setAttribute("aria-busy", "true");
        this.at("status").textContent = "drawing …";
        this.started = performance.now();
        this.request = {
            serial: ++this.serial, caption: this.at("caption").value, seed, size: this.size,
            prior: {guidance: settings.prior_guidance, steps: settings.prior_steps, candidates: settings.candidates},
            decoder: {guidance, steps: settings.decoder_steps, eta: 0},
        };
        this.worker.postMessage({kind: "draw", request: this.request});
    }

    /** What the worker tells. @param {any} message */
    hear({kind, serial, ...message}) {
        if (kind === "failed") this.refuse(message.message);
        if (serial !== this.serial) return;                             // of an older request
        if (kind === "refused") this.refuse(message.message);
        if (kind === "text") this.refuse("");
        if (kind === "step" && message.stage === "decoder") this.show(message.x_0);
        if (kind === "decoded" || kind === "enlarged") this.show(message.result);
        if (kind === "done") this.finish();
    }

    /** @param {any} picture (1, 3, S, S) */
    show(picture) {
        const {caption, seed, decoder} = /** @type {any} */ (this.request), side = picture.dims[3];
        paintPicture(this.at("picture"), picture);
        this.at("picture").hidden = false;
        this.at("still").hidden = true;
        this.at("picture").setAttribute("aria-label", `${caption}, guidance ${decoder.guidance}, seed ${seed}, drawn ` +
            `at ${side} pixels`);
    }

    finish() {
        const {caption, seed, decoder} = /** @type {any} */ (this.request);
        const seconds = ((performance.now() - this.started) / 1000).toFixed(1);
        this.at("status").textContent = `${caption}, guidance ${decoder.guidance}, seed ${seed}: ${seconds} s`;
        this.root.setAttribute("aria-busy", "false");
    }

    /** Say what is wrong, "" if nothing is. @param {string} message */
    refuse(message) {
        this.at("error").textContent = message;
        this.at("error").hidden = !message;
        this.at("caption").setAttribute("aria-invalid", String(Boolean(message)));
        if (!message) return;
        this.at("status").textContent = "";
        this.root.setAttribute("aria-busy", "false");
    }
}

for (const root of document.querySelectorAll(".live-panel")) new Panel(/** @type {HTMLElement} */ (root));
