/**
 * A text field that offers the words of the toy world while one types: the combobox of the ARIA practices.
 */

const SHOWN = 8;

export class WordField {
    /**
     * @param {HTMLInputElement} input
     * @param {HTMLElement} list
     * @param {string[]} vocabulary
     */
    constructor(input, list, vocabulary) {
        this.input = input;
        this.list = list;
        this.vocabulary = vocabulary;
        this.chosen = -1;
        input.addEventListener("input", () => this.offer());
        input.addEventListener("keydown", (event) => this.key(event));
        input.addEventListener("blur", () => this.close());
        list.addEventListener("mousedown", (event) => {
            const option = /** @type {HTMLElement} */ (event.target).closest("li");
            event.preventDefault();                                     // the field keeps the focus
            if (option) this.take(option.textContent ?? "");
        });
    }

    /** What stands left of the cursor since the last gap. */
    get begun() {
        const before = this.input.value.slice(0, this.input.selectionStart ?? 0);
        return /[^\s,.;:!?"]*$/.exec(before)?.[0] ?? "";
    }

    /** Show the words that begin like this one. */
    offer() {
        const begun = this.begun.toLowerCase();
        const fits = this.vocabulary.filter((word) => begun && word.startsWith(begun) && word !== begun);
        const words = fits.slice(0, SHOWN);
        this.list.replaceChildren(...words.map((word, i) => {
            const option = document.createElement("li");
            option.id = `${this.list.id}-${i}`;
            option.textContent = word;
            option.setAttribute("role", "option");
            option.setAttribute("aria-selected", "false");
            return option;
        }));
        this.list.hidden = !words.length;
        this.input.setAttribute("aria-expanded", String(words.length > 0));
        this.choose(-1);
    }

    /** Mark an option, -1 for none. @param {number} number */
    choose(number) {
        this.chosen = number;
        [...this.list.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === number)));
        const option = this.list.children[number];
        if (option) this.input.setAttribute("aria-activedescendant", option.id);
        else this.input.removeAttribute("aria-activedescendant");
        option?.scrollIntoView({block: "nearest"});
    }

    /** @param {KeyboardEvent} event */
    key(event) {
        const count = this.list.hidden ? 0 : this.list.children.length;
        const moves = {ArrowDown: 1, ArrowUp: -1};
        if (count && event.key in moves) {
            const from = this.chosen < 0 && event.key === "ArrowUp" ? 0 : this.chosen;
            this.choose((from + moves[event.key] + count) % count);
        } else if (count && event.key === "Enter" && this.chosen >= 0) {
            this.take(this.list.children[this.chosen].textContent ?? "");
        } else if (count && event.key === "Escape") {
            this.close();
        } else {
            if (event.key === "Enter") this.close();
            return;
        }
        event.preventDefault();
    }

    /** Put a word in the place of what was begun. @param {string} word */
    take(word) {
        const {value, selectionStart} = this.input, end = selectionStart ?? value.length;
        const start = end - this.begun.length;
        const gap = /^\s/.test(value.slice(end)) ? "" : " ";
        this.input.value = value.slice(0, start) + word + gap + value.slice(end);
        this.input.setSelectionRange(start + word.length + 1, start + word.length + 1);
        this.close();
    }

    close() {
        this.list.hidden = true;
        this.input.setAttribute("aria-expanded", "false");
        this.choose(-1);
    }
}
