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
    var state = document.querySelector("[data-live-state]");
    var dot = document.querySelector("[data-live-dot]");
    var says = state.textContent;
    var pauses = button.textContent;
    var shownAt = readAt();
    var timer = null;
    var ageing = null;
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

    // whoever reads a value or a table goes on reading it, with the new numbers
    function show(html) {
      var fresh = new DOMParser().parseFromString(html, "text/html").body;
      var focused = box.contains(document.activeElement) ? document.activeElement.id : "";
      var places = {};
      charts(box).forEach(function (figure) {
        places[figure.pfChart.id] = figure.pfChart.place();
      });
      box.replaceChildren.apply(box, fresh.childNodes);
      if (focused && document.getElementById(focused)) {
        document.getElementById(focused).focus({ preventScroll: true });
      }
      charts(box).forEach(function (figure) {
        chart(figure);
        if (places[figure.pfChart.id]) figure.pfChart.resume(places[figure.pfChart.id]);
      });
      shownAt = readAt();
      if (!note.hidden) found();
    }

    // when the numbers were read, by this clock: they may have been kept for a while
    function readAt() {
      var time = box.querySelector("[data-live-time]");
      return Date.now() - 1000 * (time ? Number(time.dataset.age) : 0);
    }

    function age() {
      var seconds = Math.round((Date.now() - shownAt) / 1000);
      var minutes = Math.floor(seconds / 60);
      var text = minutes ? minutes + " min " + (seconds % 60) + " s" : seconds + " s";
      note.querySelector("[data-live-age]").textContent = text;
    }

    function lost() {
      if (!note.hidden) return;
      var time = box.querySelector("[data-live-time]");
      note.querySelector("b").textContent = time ? time.textContent : "";
      note.hidden = false;
      state.textContent = "Link lost";
      dot.classList.add("warn");
      age();
      ageing = setInterval(age, 1000);
    }

    function found() {
      note.hidden = true;
      state.textContent = says;
      dot.classList.remove("warn");
      clearInterval(ageing);
    }

    button.addEventListener("click", function () {
      paused = !paused;
      button.setAttribute("aria-pressed", paused);
      button.textContent = paused ? "Go on" : pauses;
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

  function charts(root) {
    return Array.from(root.querySelectorAll("[data-chart]"));
  }

  var STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12 };

  function chart(figure) {
    var plot = figure.querySelector(".pf-plot");
    var heads = figure.querySelectorAll(".pf-data thead th");
    var rows = figure.querySelectorAll(".pf-data tbody tr");
    var columns = plot.querySelectorAll(".hot");
    var at = rows.length - 1;
    var line = 1;
    var marker = null;
    var tip = null;
    var table = figure.querySelector(".pf-data");

    function show(index) {
      hide();
      at = Math.max(0, Math.min(rows.length - 1, index));
      var x = ((at + 0.5) / rows.length) * plot.clientWidth;
      if (columns.length) columns[at].classList.add("on");
      else {
        marker = document.createElement("div");
        marker.className = "pf-hair";
        marker.style.left = x + "px";
        plot.append(marker);
      }
      tip = document.createElement("div");
      tip.className = "pf-tip";
      tip.setAttribute("role", "status");
      var strong = document.createElement("strong");
      strong.textContent = rows[at].cells[0].textContent;
      tip.append(strong, " ", heads[1].dataset.line ? lines() : rows[at].cells[1].textContent);
      plot.append(tip);
      var fits = x + 14 + tip.offsetWidth <= plot.clientWidth;
      tip.style.left = (fits ? x + 14 : Math.max(0, x - 14 - tip.offsetWidth)) + "px";
    }

    function lines() {
      var table = document.createElement("table");
      for (var number = 1; number < heads.length; number++) {
        var row = table.insertRow();
        if (number === line && heads.length > 2) row.className = "on";
        var name = row.insertCell();
        var key = figure.querySelector(".pf-legend ." + heads[number].dataset.line);
        if (key) name.append(key.ownerSVGElement.cloneNode(true));
        name.append(heads[number].textContent);
        row.insertCell().textContent = rows[at].cells[number].textContent;
      }
      return table;
    }

    function hide() {
      if (tip) tip.remove();
      if (marker) marker.remove();
      tip = marker = null;
      if (columns.length) columns[at].classList.remove("on");
    }

    // the line under the pointer, by the places that the cells carry
    function nearest(index, share) {
      var best = Infinity;
      for (var number = 1; number < heads.length; number++) {
        var cell = rows[index].cells[number];
        var away = Math.abs(Number(cell.dataset.y) - share * 1000);
        if (cell.dataset.y && away < best) {
          best = away;
          line = number;
        }
      }
    }

    function open() {
      var link = rows[at].cells[line].querySelector("a") || rows[at].querySelector("a");
      if (link) link.click();
    }

    // what is read here, so that it can be read on after a refresh
    figure.pfChart = {
      id: plot.id,
      place: function () {
        return { at: at, line: line, isRead: Boolean(tip), open: table.open, y: table.scrollTop };
      },
      resume: function (place) {
        table.open = place.open;
        table.scrollTop = place.y;
        line = Math.min(place.line, heads.length - 1);
        if (place.isRead) show(place.at);
        else at = Math.min(place.at, rows.length - 1);
      },
    };

    plot.addEventListener("pointermove", function (event) {
      var box = plot.getBoundingClientRect();
      var index = Math.floor(((event.clientX - box.left) / box.width) * rows.length);
      index = Math.max(0, Math.min(rows.length - 1, index));
      nearest(index, (event.clientY - box.top) / box.height);
      show(index);
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("click", open);
    plot.addEventListener("keydown", function (event) {
      if (event.key in STEPS) show(at + STEPS[event.key]);
      else if (event.key === "ArrowUp" || event.key === "ArrowDown") {
        var next = line + (event.key === "ArrowUp" ? -1 : 1);
        line = Math.max(1, Math.min(heads.length - 1, next));
        show(at);
      } else if (event.key === "Home") show(0);
      else if (event.key === "End") show(rows.length - 1);
      else if (event.key === "Enter") open();
      else if (event.key === "Escape") hide();
      else return;
      event.preventDefault();
    });
  }

  charts(document).forEach(chart);
  document.querySelectorAll("[data-live]").forEach(live);
})();
