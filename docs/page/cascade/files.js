/**
 * The files of the page: fetched with progress, unpacked, compared with the sums in the manifest.
 *
 * They are packed by xz in the folder itself, so that the download is as small from any server.
 */

import {XzReadableStream} from "../runtime/xz-decompress.min.mjs";

export class Files {
    /**
     * @param {string} base address of the folder
     * @param {(bytes: number) => void} received told of every piece that comes in
     */
    constructor(base, received) {
        this.base = base;
        this.received = received;
        /** @type {Map<string, {packed: string, bytes: number, sha256: string}>} by name: what the build noted */
        this.listed = new Map();
    }

    /** The manifest of the export, and the list of packed files. */
    async manifest() {
        const answer = await this.ask("manifest.json"), manifest = await answer.json();
        this.listed = new Map(Object.entries(manifest.files));
        return manifest;
    }

    /** Bytes that these files take to download. @param {string[]} names */
    bytesOf(names) {
        return names.reduce((sum, name) => sum + this.entry(name).bytes, 0);
    }

    /** @param {string} name */
    entry(name) {
        const entry = this.listed.get(name);
        if (!entry) throw new Error(`${name} is not in the manifest: build the page anew`);
        return entry;
    }

    /** The content of a file. @param {string} name @returns {Promise<Uint8Array>} */
    async fetched(name) {
        const {packed, sha256} = this.entry(name), content = await unpacked(await this.read(packed)).catch(() => null);
        const sums = globalThis.crypto?.subtle;                         // a plain http page has none
        if (!content || (sums && (await sumOf(content)) !== sha256)) {
            throw new Error(`${name} is not the file that belongs to this page: load the page again`);
        }
        return content;
    }

    /** @param {string} packed */
    async read(packed) {
        const reader = (await this.ask(packed)).body.getReader(), pieces = [];
        for (;;) {
            const {done, value} = await reader.read();
            if (done) return new Blob(pieces);
            pieces.push(value);
            this.received(value.length);
        }
    }

    /** @param {string} name */
    async ask(name) {
        let answer;
        try {
            answer = await fetch(new URL(name, this.base));
        } catch {
            throw new Error(`${name} did not arrive: look whether you are online, then load the page again`);
        }
        if (!answer.ok) throw new Error(`${name} is not on the server (${answer.status}): build the page anew`);
        return answer;
    }
}

/** @param {Blob} blob packed by xz @returns {Promise<Uint8Array>} */
export async function unpacked(blob) {
    return new Uint8Array(await new Response(new XzReadableStream(blob.stream())).arrayBuffer());
}

/** SHA-256, in hexadecimal digits. @param {Uint8Array} content */
async function sumOf(content) {
    const sum = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
    return [...sum].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
