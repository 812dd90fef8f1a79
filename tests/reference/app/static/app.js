// A script for the tests of static files; it is long enough for compression to pay.
"use strict";

document.documentElement.dataset.script = "loaded";
document.documentElement.dataset.loaded = "script";
