/**
 * Section 5: from one caption to another. Pictures are drawn when they are looked at, or all at once.
 */

import {paintPicture} from "./canvas.js";
import {at, told} from "./show.js";

const STEPS = 8;
const THETAS = Array.from({length: STEPS + 1}, (_, i) => i / STEPS);

export class Way {
    /**
     * @param {Worker} worker
     * @param {() => any} request what is set now
     * @param {(caption: string) => boolean} refused shows what is wrong with the other caption, if anything is
     */
    constructor(worker, request, refused) {
        this.worker = worker;
        this.request = request;
        this.refused = refused;
        this.other = "";
        this.whole = false;                                             // whether all pictures are wanted
        this.serial = 0;                                                // of the last change of captions or settings
        /** @type {Map<number, any>} by theta: the picture's message, and its button */
        this.pictures = new Map();
        at("way-form").addEventListener("submit", (/** @type {Event} */ event) => {
            event.preventDefault();
            this.whole = true;
            this.ask();
        });
        at("theta").addEventListener("input", () => this.look());
        this.tell();
    }

    get theta() {
        return Number(at("theta").value);
    }

    /** Draw the picture that is looked at, then perhaps the others. */
    ask() {
        const other = at("other").value.trim();
        if (this.refused(other)) return;
        if (other !== this.other) this.clear();
        this.other = other;
        at("between-text").textContent = "Drawing …";
        const others = this.whole ? THETAS.filter((theta) => theta !== this.theta) : [];
        const request = {...this.request(), other, thetas: [this.theta, ...others], serial: this.serial};
        this.worker.postMessage({kind: "way", request});
    }

    /** The slider was moved: show the picture, or draw it. */
    look() {
        this.tell();
        const found = at("other").value.trim() === this.other && this.pictures.get(this.theta);
        if (found) this.paint(found);
        else this.ask();
    }

    tell() {
        at("theta-value").textContent = percent(this.theta);
        at("theta").setAttribute("aria-valuetext", percent(this.theta));
    }

    /** Other settings, other pictures. */
    forget() {
        this.worker.postMessage({kind: "way", request: null});
        this.other = "";
        this.whole = false;
        this.clear();
    }

    clear() {
        this.serial++;
        this.pictures.clear();
        at("way-strip").replaceChildren();
        at("between").width = at("between").height = 32;                // which wipes it
        at("between").setAttribute("aria-label", "No picture yet");
        at("between-text").textContent = "Press “Draw the way”, or move the slider.";
    }

    /** A picture came. @param {any} message */
    show(message) {
        if (message.request.serial !== this.serial) return;
        if (!this.pictures.has(message.theta)) this.add(message);
        if (message.theta === this.theta) this.paint(this.pictures.get(message.theta));
    }

    /** Put a picture into the strip, at its place. @param {any} message */
    add(message) {
        const {theta, result} = message, item = document.createElement("li"), button = document.createElement("button");
        const canvas = document.createElement("canvas");
        canvas.className = "picture";
        paintPicture(canvas, result);
        Object.assign(button, {type: "button", ariaLabel: `${percent(theta)} of the way`});
        button.addEventListener("click", () => {
            at("theta").value = theta;
            this.look();
        });
        button.append(canvas);
        item.append(button);
        const later = THETAS.filter((other) => other > theta).map((other) => this.pictures.get(other)).find(Boolean);
        at("way-strip").insertBefore(item, later?.item ?? null);
        this.pictures.set(theta, {...message, item, button});
    }

    /** @param {any} picture */
    paint({theta, result, seconds, request}) {
        paintPicture(at("between"), result);
        const [from, to] = [`“${request.caption}”`, `“${request.other}”`];
        const place = new Map([[0, from], [1, to]]).get(theta) ?? `${percent(theta)} of the way`;
        at("between-text").textContent = `${place}, from the embedding alone, in ${told(seconds)}`;
        at("between").setAttribute("aria-label", `The picture at ${percent(theta)} of the way from ${from} to ${to}`);
        for (const [other, {button}] of this.pictures) button.setAttribute("aria-current", String(other === theta));
    }
}

/** @param {number} theta */
function percent(theta) {
    return `${Math.round(100 * theta)} %`;
}
