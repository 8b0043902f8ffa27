/**
 * Captions to numbers: `WordTokenizer` of minunclip/text.py, with the same errors in the same words.
 */

const NO_CAPTION = "the caption is empty: say what to draw, such as 'a red circle'";

/** Each word of a small vocabulary is one token: start, words, end. */
export class WordTokenizer {
    /** @param {string[]} vocabulary @param {number} context the longest caption, in tokens */
    constructor(vocabulary, context) {
        this.vocabulary = vocabulary;
        this.context = context;
        this.ids = new Map(vocabulary.map((word, i) => [word, i + 1]));
        this.start = vocabulary.length + 1;
        this.end = vocabulary.length + 2;
    }

    /** The words of a caption, known or not. @param {string} caption */
    words(caption) {
        return caption.toLowerCase().match(/[^\s,.;:!?"]+/g) ?? [];
    }

    /**
     * The tokens of a caption, start and end included. The empty caption is one, too.
     * @param {string} caption
     * @returns {{word: string, id: number}[]}
     */
    encode(caption) {
        const words = this.words(caption), unknown = words.find((word) => !this.ids.has(word));
        if (unknown !== undefined) throw new CaptionError(this.complaint(unknown, caption));
        if (words.length > this.context - 2) {
            throw new CaptionError(`this caption has ${words.length} words, and the model reads at most ` +
                `${this.context - 2}: shorten ${repr([...caption].slice(0, 40).join(""))}...`);
        }
        const tokens = words.map((word) => ({word, id: /** @type {number} */ (this.ids.get(word))}));
        return [{word: "start", id: this.start}, ...tokens, {word: "end", id: this.end}];
    }

    /** The same for a caption that is to be drawn: it has to say something. @param {string} caption */
    encodeToDraw(caption) {
        if (!/[^\p{Z}\p{P}\p{Cc}\p{Cf}]/u.test(caption)) throw new CaptionError(NO_CAPTION);
        return this.encode(caption);
    }

    /** @param {string} word @param {string} caption */
    complaint(word, caption) {
        const near = closeMatches(word, this.vocabulary);
        const all = `it knows ${this.vocabulary.join(", ")}.`;
        const hint = near.length ? `did you mean ${near.map(repr).join(" or ")}?` : all;
        return `the scenes model does not know the word ${short(word, 24)} in ${short(caption, 60)}: ${hint}`;
    }
}

/** What a reader can mend: it is shown beside the caption. */
export class CaptionError extends Error {}

/** As Python writes a text. @param {string} text */
function repr(text) {
    const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
    const names = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"};
    const escaped = text.replace(/[\\\n\r\t]/g, (c) => names[c]).replaceAll(quote, `\\${quote}`);
    return quote + escaped + quote;
}

/** On one line, and not the whole of a long one. @param {string} text @param {number} most characters */
function short(text, most) {
    const told = [...repr(text).split(/\s+/).filter(Boolean).join(" ")];
    return told.length <= most ? told.join("") : told.slice(0, most - 3).join("") + "...";
}

/**
 * Up to three words that are alike, the nearest first: Python's difflib.get_close_matches with its cutoff of 0.6.
 * @param {string} word
 * @param {string[]} words
 */
export function closeMatches(word, words) {
    const scored = words.map((other) => ({other, score: likeness(other, word)})).filter(({score}) => score >= 0.6);
    scored.sort((a, b) => b.score - a.score || (a.other < b.other ? 1 : -1));
    return scored.slice(0, 3).map(({other}) => other);
}

/** The share of letters that stand in common pieces (Ratcliff & Obershelp 1988), 0 to 1. */
function likeness(/** @type {string} */ a, /** @type {string} */ b) {
    return (2 * common([...a], [...b])) / ([...a].length + [...b].length || 1);
}

/** Letters in the longest common piece, and in those to its left and right. @param {string[]} a @param {string[]} b */
function common(a, b) {
    let best = 0, startA = 0, startB = 0;
    for (let i = 0; i < a.length; i++) {
        for (let j = 0; j < b.length; j++) {
            let n = 0;
            while (i + n < a.length && j + n < b.length && a[i + n] === b[j + n]) n++;
            if (n > best) [best, startA, startB] = [n, i, j];
        }
    }
    if (!best) return 0;
    const left = common(a.slice(0, startA), b.slice(0, startB));
    return best + left + common(a.slice(startA + best), b.slice(startB + best));
}
