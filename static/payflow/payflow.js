// Two things, without inline code and without eval:
// - data-live: a part of the page that fetches itself anew while the tab is visible
// - data-chart: a crosshair that reads the table under the chart, so that they cannot disagree
(function () {
  "use strict";

  // --- live parts --------------------------------------------------------------------------------

  function live(box) {
    var every = Number(box.dataset.every) * 1000;
    var note = document.querySelector("[data-live-lost]");
    var button = document.querySelector("[data-live-pause]");
    var timer = null;
    var paused = false;

    function schedule() {
      clearTimeout(timer);
      if (!paused && !document.hidden) timer = setTimeout(refresh, every);
    }

    function refresh() {
      fetch(box.dataset.live, { credentials: "same-origin", cache: "no-store", redirect: "error" })
        .then(function (response) {
          if (!response.ok) throw new Error(response.status);
          return response.text();
        })
        .then(show)
        .catch(lost)
        .then(schedule);
    }

    function show(html) {
      // whoever reads a value or the table keeps it: the next round brings the new ones
      if (box.querySelector(".pf-tip, details[open]")) return;
      var fresh = new DOMParser().parseFromString(html, "text/html").body;
      var focused = box.contains(document.activeElement) ? document.activeElement.id : "";
      box.replaceChildren.apply(box, fresh.childNodes);
      if (focused && document.getElementById(focused)) document.getElementById(focused).focus();
      box.querySelectorAll("[data-chart]").forEach(chart);
      note.hidden = true;
    }

    function lost() {
      if (!note.hidden) return;
      var time = box.querySelector("[data-live-time]");
      note.querySelector("b").textContent = time ? time.textContent : "";
      note.hidden = false;
    }

    button.addEventListener("click", function () {
      paused = !paused;
      button.setAttribute("aria-pressed", paused);
      button.textContent = paused ? "Go on" : "Pause";
      if (paused) clearTimeout(timer);
      else refresh();
    });
    document.addEventListener("visibilitychange", function () {
      if (document.hidden || paused) clearTimeout(timer);
      else refresh();
    });
    schedule();
  }

  // --- charts ------------------------------------------------------------------------------------

  var STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12 };

  function chart(figure) {
    var plot = figure.querySelector(".pf-plot");
    var rows = figure.querySelectorAll(".pf-data tbody tr");
    var columns = plot.querySelectorAll(".hot");
    var at = rows.length - 1;
    var tip = null;

    function show(index) {
      hide();
      at = Math.max(0, Math.min(rows.length - 1, index));
      columns[at].classList.add("on");
      tip = document.createElement("div");
      tip.className = "pf-tip";
      tip.setAttribute("role", "status");
      var strong = document.createElement("strong");
      strong.textContent = rows[at].cells[0].textContent;
      tip.append(strong, " " + rows[at].cells[1].textContent);
      plot.append(tip);
      var x = ((at + 0.5) / rows.length) * plot.clientWidth;
      var fits = x + 14 + tip.offsetWidth <= plot.clientWidth;
      tip.style.left = (fits ? x + 14 : x - 14 - tip.offsetWidth) + "px";
    }

    function hide() {
      if (tip) tip.remove();
      tip = null;
      columns[at].classList.remove("on");
    }

    function open() {
      var link = rows[at].querySelector("a");
      if (link) link.click();
    }

    plot.addEventListener("pointermove", function (event) {
      var box = plot.getBoundingClientRect();
      show(Math.floor(((event.clientX - box.left) / box.width) * rows.length));
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("click", open);
    plot.addEventListener("keydown", function (event) {
      if (event.key in STEPS) show(at + STEPS[event.key]);
      else if (event.key === "Home") show(0);
      else if (event.key === "End") show(rows.length - 1);
      else if (event.key === "Enter") open();
      else if (event.key === "Escape") hide();
      else return;
      event.preventDefault();
    });
  }

  document.querySelectorAll("[data-chart]").forEach(chart);
  document.querySelectorAll("[data-live]").forEach(live);
})();
