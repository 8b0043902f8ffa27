/**
 * The diffusion process and DDIM: minunclip/diffusion in JavaScript, without training.
 *
 *     x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps
 *
 * A sample is a whole batch at one timestep, so signal and sigma are plain numbers here.
 *
 * @typedef {{data: Float32Array, dims: readonly number[]}} Tensor numbers in a row, and the shape that they have
 * @typedef {(x_t: Tensor, t: number) => Promise<Tensor>} Denoiser what a network predicts, shaped like x_t
 * @typedef {{schedule: string, steps: number, target: string, clip: number | null}} DiffusionConfig
 * @typedef {{x_t: Tensor, x_0: Tensor, t: number}} Step the sample after a step, and the clean one as estimated in it
 */

const float32 = Math.fround;

const SCHEDULES = {
    /** Nichol & Dhariwal 2021, eq. 17. @param {number} steps */
    cosine(steps) {
        const bar = (/** @type {number} */ u) => Math.cos(((u + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
        return Array.from({length: steps}, (_, t) => Math.min(1 - bar((t + 1) / steps) / bar(t / steps), 0.999));
    },
    /** Ho et al. 2020, section 4. Counted from both ends in float32, as torch.linspace does. @param {number} steps */
    linear(steps) {
        const first = float32(0.1 / steps), last = float32(20 / steps);
        const step = float32(float32(last - first) / (steps - 1));
        const half = Math.floor(steps / 2), betas = Array.from({length: steps}, (_, t) => t);
        return betas.map((t) => Math.min(t < half ? first + step * t : last - step * (steps - 1 - t), 0.999));
    },
};

/** By what a network predicts: the x_0 that its number implies, at one pixel. */
const SOLVERS = {
    eps: (/** @type {number[]} */ ...[said, x, signal, sigma]) => (x - sigma * said) / signal,
    x0: (/** @type {number} */ said) => said,
    v: (/** @type {number[]} */ ...[said, x, signal, sigma]) => signal * x - sigma * said,
};

/**
 * The process that a stage was trained for. Its tables and factors are rounded to float32 where the library's are:
 * a difference such as 1 - alpha_bar loses digits, and both are to lose the same ones.
 */
export class Diffusion {
    /** @param {DiffusionConfig} config */
    constructor(config) {
        this.config = config;
        this.betas = SCHEDULES[config.schedule](config.steps).map(float32);
        let product = 1;
        this.alphasBar = this.betas.map((beta) => float32((product *= float32(1 - beta))));
    }

    /** alpha_bar at t; a t of -1 is clean data. @param {number} t */
    alphaBar(t) {
        return t < 0 ? 1 : this.alphasBar[t];
    }

    /** [signal, sigma] = [sqrt(alpha_bar), sqrt(1 - alpha_bar)]. @param {number} t */
    scales(t) {
        return [float32(Math.sqrt(this.alphaBar(t))), float32(Math.sqrt(float32(1 - this.alphaBar(t))))];
    }

    /**
     * The x_0 that a prediction implies, clamped to what data can be, and the eps that leads from it to x_t.
     * @param {Tensor} prediction
     * @param {Tensor} x_t
     * @param {number} t
     * @returns {{x_0: Tensor, eps: Float32Array}}
     */
    estimate(prediction, x_t, t) {
        const [signal, sigma] = this.scales(t), clip = this.config.clip ?? Infinity;
        const solve = SOLVERS[this.config.target], said = prediction.data;
        const x_0 = x_t.data.map((x, i) => Math.min(Math.max(solve(said[i], x, signal, sigma), -clip), clip));
        const eps = x_t.data.map((x, i) => (x - signal * x_0[i]) / sigma);
        return {x_0: {data: x_0, dims: x_t.dims}, eps};
    }

    /** beta_tilde, the variance of x_{t_prev} when x_t and x_0 are known. @param {number} t @param {number} tPrev */
    stepVariance(t, tPrev) {
        const now = this.alphaBar(t), before = this.alphaBar(tPrev);
        const beta = t - tPrev === 1 ? this.betas[t] : float32(1 - float32(now / before));
        return float32(float32(float32(1 - before) / float32(1 - now)) * beta);
    }
}

/**
 * So many timesteps evenly spread from total - 1 down to 0; halves go to the even neighbour, as in Python.
 * @param {number} steps at least 2
 * @param {number} total
 */
export function timesteps(steps, total) {
    if (!(steps >= 2 && steps <= total)) throw new RangeError(`choose 2 to ${total} steps, not ${steps}`);
    const stride = (total - 1) / (steps - 1);
    return Array.from({length: steps}, (_, i) => roundHalfEven((steps - 1 - i) * stride));
}

/** @param {number} x */
function roundHalfEven(x) {
    const below = Math.floor(x);
    if (x - below !== 0.5) return Math.round(x);
    return below % 2 ? below + 1 : below;
}

/**
 * DDIM (Song et al. 2020): from noise to a sample, a Step at a time. eta = 0 adds no noise on the way, eta = 1 as
 * much as DDPM.
 * @param {Diffusion} diffusion
 * @param {Denoiser} denoiser
 * @param {Iterator<Tensor>} noise x_T, then what is added
 * @param {number} steps
 * @param {number} [eta] 0 to 1
 * @returns {AsyncGenerator<Step, Tensor>} the return value is the sample
 */
export async function* ddim(diffusion, denoiser, noise, steps, eta = 0) {
    let x_t = noise.next().value;
    const visited = [...timesteps(steps, diffusion.config.steps), -1];
    for (let i = 0; i < steps; i++) {
        const [t, tPrev] = visited.slice(i, i + 2);
        const {x_0, eps} = diffusion.estimate(await denoiser(x_t, t), x_t, t);
        const [towards] = diffusion.scales(tPrev), share = float32(eta ** 2);
        const fresh = float32(share * diffusion.stepVariance(t, tPrev));    // the variance of the noise added anew
        const away = Math.sqrt(Math.max(float32(float32(1 - diffusion.alphaBar(tPrev)) - fresh), 0));
        const data = x_0.data.map((x, k) => towards * x + away * eps[k]);
        if (eta > 0 && t > 0) {
            const added = noise.next().value.data, size = Math.sqrt(fresh);
            data.forEach((x, k) => { data[k] = x + size * added[k]; });
        }
        x_t = {data, dims: x_t.dims};
        yield {x_t, x_0, t};
    }
    return x_t;
}

/**
 * Classifier-free guidance (Ho & Salimans 2022): unconditional + scale (conditional - unconditional).
 * @param {Denoiser} doubled gets x_t twice over: the first half of its rows must be unconditional
 * @param {number} scale 0 ignores the condition, 1 is none, above 1 follows it more closely
 * @returns {Denoiser}
 */
export function guided(doubled, scale) {
    return async (x_t, t) => {
        const twice = new Float32Array(2 * x_t.data.length);
        twice.set(x_t.data);
        twice.set(x_t.data, x_t.data.length);
        const both = await doubled({data: twice, dims: [2 * x_t.dims[0], ...x_t.dims.slice(1)]}, t);
        const half = both.data.length / 2;
        const data = both.data.slice(0, half).map((uncond, i) => uncond + scale * (both.data[half + i] - uncond));
        return {data, dims: x_t.dims};
    };
}

/**
 * The prediction in a network's output: its first C channels. A learned variance follows, which DDIM does not use.
 * @param {Tensor} output (B, C or 2 C, ...)
 * @param {Tensor} x_t (B, C, ...)
 * @returns {Tensor}
 */
export function predictionOf(output, x_t) {
    if (output.dims[1] === x_t.dims[1]) return output;
    const rows = x_t.dims[0], size = x_t.data.length / rows, stride = output.data.length / rows;
    const data = new Float32Array(x_t.data.length);
    for (let row = 0; row < rows; row++) data.set(output.data.subarray(row * stride, row * stride + size), row * size);
    return {data, dims: x_t.dims};
}
