// The page's JavaScript against numbers that PyTorch wrote: tests/test_page_numbers.py starts it.

import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {test} from "node:test";

import {slerp} from "../../docs/page/cascade/cascade.js";
import {ddim, Diffusion, guided, predictionOf, timesteps} from "../../docs/page/cascade/diffusion.js";
import {Generator, noiseOf, randn} from "../../docs/page/cascade/noise.js";
import {enlarge} from "../../docs/page/cascade/resize.js";
import {CaptionError, WordTokenizer} from "../../docs/page/cascade/words.js";

const numbers = JSON.parse(readFileSync(process.env.NUMBERS, "utf8"));

function tensor({data, dims}) {
    return {data: Float32Array.from(data), dims};
}

function close(actual, expected, tolerance) {
    assert.equal(actual.length, expected.length);
    assert.ok(expected.length > 0);
    expected.forEach((x, i) => {
        assert.ok(Math.abs(actual[i] - x) <= tolerance * (1 + Math.abs(x)), `${i}: ${actual[i]}, not ${x}`);
    });
}

test("randn draws PyTorch's numbers", () => {
    for (const {seed, sizes, drawn} of numbers.randn) {
        const generator = new Generator(seed);
        sizes.forEach((size, i) => close(randn(generator, size), drawn[i], 2e-6));
    }
});

test("a stage's noise is the library's", () => {
    for (const {shape, seed, place, rows, drawn} of numbers.noise) {
        const noise = noiseOf(shape, seed, place, rows);
        for (const expected of drawn) {
            const {data, dims} = noise.next().value;
            assert.deepEqual(dims, expected.dims);
            close(data, expected.data, 2e-6);
        }
    }
});

test("schedules", () => {
    for (const {config, betas, alphasBar} of numbers.schedules) {
        const diffusion = new Diffusion(config);
        close(diffusion.betas, betas, 1e-7);
        close(diffusion.alphasBar, alphasBar, 1e-7);
        alphasBar.forEach((x, t) => assert.ok(Math.abs(diffusion.alphasBar[t] / x - 1) < 1e-5, `${t}`));
    }
});

test("timesteps round as Python does", () => {
    for (const {steps, total, visited} of numbers.timesteps) assert.deepEqual(timesteps(steps, total), visited);
    assert.throws(() => timesteps(1, 1000), RangeError);
});

test("guided DDIM takes the library's steps", async () => {
    for (const {config, scale, eta, steps, channels, noise, expected} of numbers.ddim) {
        // A network of which anybody can compute the answer: waves of x_t, t and the row.
        const network = async (x_t, t) => {
            const [rows, C, ...sides] = x_t.dims, size = sides.reduce((a, b) => a * b, 1);
            const data = new Float32Array(rows * channels * size);
            for (let row = 0; row < rows; row++) {
                for (let c = 0; c < channels; c++) {
                    for (let i = 0; i < size; i++) {
                        const x = x_t.data[(row * C + (c % C)) * size + i];
                        data[(row * channels + c) * size + i] = Math.sin(3 * x + t / 200 + row + c);
                    }
                }
            }
            return predictionOf({data, dims: [rows, channels, ...sides]}, x_t);
        };
        const denoiser = scale === 1 ? network : guided(network, scale);
        const given = noise.map(tensor)[Symbol.iterator]();
        let number = 0;
        for await (const {x_t, x_0, t} of ddim(new Diffusion(config), denoiser, given, steps, eta)) {
            assert.equal(t, expected[number].t);
            close(x_0.data, expected[number].x_0, 2e-4);
            close(x_t.data, expected[number].x_t, 2e-4);
            number++;
        }
        assert.equal(number, steps);
    }
});

test("pictures are enlarged as PyTorch does", () => {
    for (const {low, high} of numbers.enlarge) {
        const {data, dims} = enlarge(tensor(low), high.dims[3]);
        assert.deepEqual(dims, high.dims);
        close(data, high.data, 2e-6);
    }
});

test("slerp", () => {
    for (const {a, b, theta, between} of numbers.slerp) close(slerp(tensor(a), tensor(b), theta).data, between, 1e-5);
});

test("captions become the library's numbers, and its errors", () => {
    const {vocabulary, context, read, refused} = numbers.captions, tokenizer = new WordTokenizer(vocabulary, context);
    for (const {caption, ids} of read) assert.deepEqual(tokenizer.encodeToDraw(caption).map(({id}) => id), ids);
    for (const {caption, message} of refused) {
        assert.throws(() => tokenizer.encodeToDraw(caption), (error) => {
            assert.ok(error instanceof CaptionError);
            assert.equal(error.message, message);
            return true;
        });
    }
    assert.deepEqual(tokenizer.encode("").map(({id}) => id), numbers.captions.empty);
});
