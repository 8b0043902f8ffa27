/* Runs where modules do not: tells why the page stays empty. */

(function () {
    var why = "";
    if (location.protocol === "file:") {
        why = "A browser does not let a file from the disk start this page. In its folder, run: python -m http.server, " +
            "and open http://localhost:8000";
    } else if (typeof WebAssembly === "undefined") {
        why = "This browser cannot run the networks of this page: take one from 2023 or later.";
    }
    if (!why) return;
    document.addEventListener("DOMContentLoaded", function () {
        var place = document.getElementById("caption-error");
        place.textContent = why;
        place.hidden = false;
        document.getElementById("loading").hidden = true;
        document.getElementById("result-text").textContent = "";
    });
})();
