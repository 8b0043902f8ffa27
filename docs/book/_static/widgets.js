/* Between require.js and the widgets' own JavaScript: where its fonts lie, and how it has formulas set. */

(function () {
    var here = document.currentScript.src.replace(/[^/]*$/, "");
    require.config({paths: {"@jupyter-widgets/html-manager/dist": here + "html-manager"}});
    // The widgets know the interface of MathJax 2 alone, and the book has MathJax 3.
    window.addEventListener("load", function () {
        if (window.MathJax && !window.MathJax.Hub) {
            window.MathJax.Hub = {Queue: function (job) { window.MathJax.typesetPromise([job[2]]); }};
        }
    });
})();
