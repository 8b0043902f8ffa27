/**
 * Numbers to pixels: pictures, and rows of numbers as colours.
 *
 * @typedef {{data: ArrayLike<number>, dims: readonly number[]}} Numbers
 */

const BELOW = [58, 124, 191], ZERO = [245, 243, 238], ABOVE = [214, 104, 33];      // blue, paper, orange

/**
 * A picture (1, 3, S, S) in -1 to 1, rounded to 8 bits as the library does.
 * @param {HTMLCanvasElement} canvas
 * @param {Numbers} picture
 */
export function paintPicture(canvas, {data, dims}) {
    const side = dims[3], area = side * side, pen = penOf(canvas, side, side), image = pen.createImageData(side, side);
    for (let i = 0; i < area; i++) {
        for (let channel = 0; channel < 3; channel++) image.data[4 * i + channel] = byteOf(data[channel * area + i]);
        image.data[4 * i + 3] = 255;
    }
    pen.putImageData(image, 0, 0);
    canvas.classList.toggle("smooth", side > 64);       // small ones show their pixels
}

/** 0 to 255 of a number in -1 to 1; a half goes to the even neighbour. @param {number} x */
function byteOf(x) {
    const scaled = (Math.min(Math.max(x, -1), 1) + 1) * 127.5, below = Math.floor(scaled);
    return scaled - below === 0.5 ? below + (below % 2) : Math.round(scaled);
}

/**
 * Rows of numbers: a cell for each, blue below zero and orange above. The colours are full at twice the usual size.
 * @param {HTMLCanvasElement} canvas
 * @param {ArrayLike<number>[]} rows
 * @param {number} height of a row, in pixels of the page
 */
export function paintRows(canvas, rows, height) {
    const width = rows[0].length, pen = penOf(canvas, width, rows.length), full = 2 * usual(rows) || 1;
    const image = pen.createImageData(width, rows.length);
    rows.forEach((row, y) => {
        for (let x = 0; x < width; x++) image.data.set(colourOf(row[x] / full), 4 * (y * width + x));
    });
    pen.putImageData(image, 0, 0);
    if (height) canvas.style.height = `${height * rows.length}px`;
}

/** The root mean square. @param {ArrayLike<number>[]} rows */
function usual(rows) {
    let sum = 0, count = 0;
    for (const row of rows) {
        for (let x = 0; x < row.length; x++) sum += row[x] ** 2;
        count += row.length;
    }
    return Math.sqrt(sum / count);
}

/** @param {number} share -1 to 1; what lies beyond is as full */
function colourOf(share) {
    const end = share < 0 ? BELOW : ABOVE, part = Math.min(Math.abs(share), 1);
    return [...ZERO.map((zero, i) => zero + part * (end[i] - zero)), 255];
}

/** @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
function penOf(canvas, width, height) {
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}
