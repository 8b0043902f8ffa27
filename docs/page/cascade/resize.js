/**
 * Pictures enlarged by a cubic kernel: `upsample` of minunclip/upsampler.py, which is PyTorch's bicubic interpolation
 * with antialias=True. That has the kernel of Keys 1981 with a = -0.5, and at the border leaves out what is missing.
 *
 * @typedef {import("./diffusion.js").Tensor} Tensor
 */

const A = -0.5;

/** @param {number} x distance in pixels */
function cubic(x) {
    x = Math.abs(x);
    if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
    return x < 2 ? ((A * x - 5 * A) * x + 8 * A) * x - 4 * A : 0;
}

/**
 * For each new pixel of a row: the first old one that counts, and the weights from there on.
 * @param {number} from old side
 * @param {number} to new side, no smaller
 * @returns {{first: number, weights: number[]}[]}
 */
function weightsOf(from, to) {
    return Array.from({length: to}, (_, i) => {
        const centre = ((i + 0.5) * from) / to;
        const first = Math.max(Math.trunc(centre - 2 + 0.5), 0), end = Math.min(Math.trunc(centre + 2 + 0.5), from);
        const raw = Array.from({length: end - first}, (_, k) => cubic(first + k - centre + 0.5));
        const sum = raw.reduce((a, b) => a + b, 0);
        return {first, weights: raw.map((weight) => weight / sum)};
    });
}

/**
 * @param {Tensor} low (B, C, h, h)
 * @param {number} side no smaller than h
 * @returns {Tensor} (B, C, side, side); overshoots beyond -1 and 1 are kept
 */
export function enlarge(low, side) {
    const [batch, channels, h, w] = low.dims, taps = weightsOf(w, side);
    const wide = new Float32Array(batch * channels * h * side);
    for (let row = 0; row < batch * channels * h; row++) {
        taps.forEach(({first, weights}, x) => {
            let sum = 0;
            for (let k = 0; k < weights.length; k++) sum += weights[k] * low.data[row * w + first + k];
            wide[row * side + x] = sum;
        });
    }
    const data = new Float32Array(batch * channels * side * side);
    for (let plane = 0; plane < batch * channels; plane++) {
        taps.forEach(({first, weights}, y) => {
            for (let x = 0; x < side; x++) {
                let sum = 0;
                for (let k = 0; k < weights.length; k++) sum += weights[k] * wide[(plane * h + first + k) * side + x];
                data[(plane * side + y) * side + x] = sum;
            }
        });
    }
    return {data, dims: [batch, channels, side, side]};
}
