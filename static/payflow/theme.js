// The theme's class before the first paint: Unfold sets it only once Alpine runs.
(function () {
  "use strict";
  var theme = "auto";
  try {
    theme = JSON.parse(localStorage.getItem("adminTheme")) || "auto";
  } catch (error) {
    theme = "auto";
  }
  var dark = theme === "dark" || (theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.classList.toggle("dark", dark);
})();
