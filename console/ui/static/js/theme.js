// Runs before the first paint, so that a chosen theme does not flash.
"use strict";
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("troupe-theme"); } catch { /* storage is off: follow the system */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
