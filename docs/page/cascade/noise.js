/**
 * The noise of PyTorch's CPU generator, so that a seed means the same noise here as in the library.
 *
 * torch.Generator().manual_seed(s) is a Mersenne Twister (Matsumoto & Nishimura 1998), and torch.randn turns its
 * numbers into normal ones by Box and Muller's formula, in blocks of 16. Equal to PyTorch up to the last digit of
 * a float32, which depends on the machine's own sine and logarithm.
 */

const N = 624, M = 397;

/** A Mersenne Twister with 32-bit numbers. */
export class Generator {
    /** @param {number} seed a whole number from 0 to 2^53; its lowest 32 bits count, as in PyTorch */
    constructor(seed) {
        this.state = new Uint32Array(N);
        this.state[0] = seed % 2 ** 32;
        for (let i = 1; i < N; i++) {
            const previous = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
            this.state[i] = Math.imul(1812433253, previous) + i;
        }
        this.next = N;
        /** @type {number | null} the second of a pair of normal numbers, for rows of fewer than 16 */
        this.kept = null;
    }

    /** @returns {number} the next 32 random bits, 0 to 2^32 - 1 */
    bits() {
        if (this.next === N) this.twist();
        let y = this.state[this.next++];
        y ^= y >>> 11;
        y ^= (y << 7) & 0x9d2c5680;
        y ^= (y << 15) & 0xefc60000;
        return (y ^ (y >>> 18)) >>> 0;
    }

    twist() {
        const s = this.state;
        for (let i = 0; i < N; i++) {
            const y = (s[i] & 0x80000000) | (s[(i + 1) % N] & 0x7fffffff);
            s[i] = s[(i + M) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
        }
        this.next = 0;
    }

    /** @returns {number} 0 to 1, in steps of 2^-24: what a float32 can hold */
    uniform() {
        return (this.bits() & 0xffffff) / 2 ** 24;
    }

    /** @returns {number} 0 to 1, in steps of 2^-53 */
    uniformDouble() {
        const high = this.bits() & 0x1fffff, low = this.bits();
        return (high * 2 ** 32 + low) / 2 ** 53;
    }
}

/**
 * torch.randn(size, generator=generator).
 * @param {Generator} generator
 * @param {number} size how many numbers
 * @returns {Float32Array}
 */
export function randn(generator, size) {
    const x = new Float32Array(size);
    if (size < 16) return x.map(() => oneNormal(generator));
    for (let i = 0; i < size; i++) x[i] = generator.uniform();
    for (let start = 0; start + 16 <= size; start += 16) boxMuller(x.subarray(start, start + 16));
    if (size % 16) {                                        // the last 16 are drawn anew, some of them twice
        const end = x.subarray(size - 16);
        for (let i = 0; i < 16; i++) end[i] = generator.uniform();
        boxMuller(end);
    }
    return x;
}

/** Sixteen uniform numbers become normal ones: number j and number j + 8 make a pair. @param {Float32Array} x */
function boxMuller(x) {
    for (let j = 0; j < 8; j++) {
        const radius = Math.sqrt(-2 * Math.log(1 - x[j])), angle = 2 * Math.PI * x[j + 8];
        x[j] = radius * Math.cos(angle);
        x[j + 8] = radius * Math.sin(angle);
    }
}

/** A single normal number, as PyTorch draws them for fewer than 16. @param {Generator} generator */
function oneNormal(generator) {
    if (generator.kept !== null) {
        const kept = generator.kept;
        generator.kept = null;
        return kept;
    }
    const angle = 2 * Math.PI * generator.uniformDouble();
    const radius = Math.sqrt(-2 * Math.log1p(-generator.uniformDouble()));
    generator.kept = radius * Math.sin(angle);
    return radius * Math.cos(angle);
}

/**
 * The noise of a stage without end: x_T first, then what its sampler adds. Row i has a generator of its own, so a
 * sample does not depend on its neighbours. The seeds are those of `UnCLIP.noise`.
 * @param {number[]} shape of a row, such as [3, 32, 32]
 * @param {number} seed of the picture
 * @param {number} place of the stage in the cascade: 0 the prior, 1 the decoder, 2 the first upsampler, ...
 * @param {number} [rows] candidates of one picture
 * @returns {Generator<{data: Float32Array, dims: number[]}>}
 */
export function* noiseOf(shape, seed, place, rows = 1) {
    const size = shape.reduce((a, b) => a * b, 1);
    const generators = Array.from({length: rows}, (_, row) => new Generator(1000 * seed + 100 * place + row));
    for (;;) {
        const data = new Float32Array(rows * size);
        generators.forEach((generator, row) => data.set(randn(generator, size), row * size));
        yield {data, dims: [rows, ...shape]};
    }
}
