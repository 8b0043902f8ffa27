/**
 * The networks of a panel. Everything stands in the page itself, so the first message brings all files:
 *
 * In:  {manifest, files}, files by name, packed by xz and written in base64; then what serve.js hears
 */

import * as ort from "../page/runtime/ort.wasm.bundle.min.mjs";
import {unpacked} from "../page/cascade/files.js";
import {serve} from "../page/cascade/serve.js";

/** Files with the methods of page/cascade/files.js. Each is unpacked once, and then forgotten. */
class Inside {
    /** @param {any} manifest @param {Record<string, string>} files */
    constructor(manifest, files) {
        this.whole = manifest;
        this.files = files;
    }

    async manifest() {
        return this.whole;
    }

    /** Nothing is downloaded. */
    bytesOf() {
        return 0;
    }

    /** @param {string} name */
    async fetched(name) {
        const letters = atob(this.files[name]), packed = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
        delete this.files[name];
        return unpacked(new Blob([packed]));
    }
}

self.onmessage = ({data: {manifest, files}}) => serve(ort, new Inside(manifest, files));
