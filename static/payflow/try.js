// The try box: what becomes of the event, while it is typed. Without script the form does the same.
(function () {
  "use strict";

  var WAIT_MS = 250;

  function box(form) {
    var area = form.elements.event;
    var headers = form.elements.headers;
    var result = form.querySelector("[data-try-result]");
    var layer = form.querySelector("[data-try-marks]");
    var state = form.querySelector("[data-try-state]");
    var versions = form.querySelector("[data-try-version]");
    var tidy = form.querySelector("[data-try-tidy]");
    var newest = document.getElementById("try-newest");
    var timer = null;
    var running = null;
    var unfolded = {};

    // --- asking ----------------------------------------------------------------------------------

    function later() {
      clearTimeout(timer);
      timer = setTimeout(ask, WAIT_MS);
    }

    function ask() {
      clearTimeout(timer);
      if (running) running.abort();
      running = new AbortController();
      var mine = running;
      var text = area.value;
      form.setAttribute("aria-busy", "true");
      fetch(form.dataset.try, {
        method: "POST",
        body: new URLSearchParams(new FormData(form)),
        credentials: "same-origin",
        cache: "no-store",
        redirect: "error",
        signal: mine.signal,
      })
        .then(function (response) {
          if (!response.ok && response.status !== 413) throw new Error(response.status);
          return response.json();
        })
        .then(function (answer) { show(answer, text); })
        .catch(function (error) {
          if (error.name !== "AbortError") {
            state.textContent = "payflow does not answer, or your login has ended. What you see is of an earlier text.";
          }
        })
        .then(function () {
          if (mine === running) form.removeAttribute("aria-busy");
        });
    }

    function show(answer, text) {
      var fresh = new DOMParser().parseFromString(answer.html, "text/html").body;
      var pressed = document.activeElement && document.activeElement.closest("[data-try-part]");
      var number = pressed ? pressed.value : null;
      result.replaceChildren.apply(result, fresh.childNodes);
      if (answer.versions !== undefined && document.activeElement !== versions) {
        var options = new DOMParser().parseFromString("<select>" + answer.versions + "</select>", "text/html").querySelector("select");
        var chosen = options.value;
        versions.replaceChildren.apply(versions, options.childNodes);
        versions.value = chosen;
      }
      if (number !== null) {
        var again = result.querySelector('[data-try-part][value="' + number + '"]');
        if (again) again.focus({ preventScroll: true });
      }
      fold();
      if (area.value === text) mark(answer.marks);
      var verdicts = Array.from(result.querySelectorAll(".pf-try-verdict .pf-pill"));
      state.textContent = verdicts.map(function (pill) {
        return pill.closest("section").getAttribute("aria-label") + ": " + pill.lastChild.textContent.trim();
      }).join(", ");
    }

    // long tables show their first rows; what was unfolded stays so for the next answer
    function fold() {
      result.querySelectorAll("[data-fold]").forEach(function (table) {
        var name = table.closest("section").getAttribute("aria-label");
        var rows = Array.from(table.tBodies[0].rows).slice(Number(table.dataset.fold));
        if (!rows.length || unfolded[name]) return;
        rows.forEach(function (row) { row.hidden = true; });
        var more = document.createElement("button");
        more.type = "button";
        more.className = "pf-btn s pf-try-more";
        more.textContent = "Show all " + table.tBodies[0].rows.length;
        more.addEventListener("click", function () {
          unfolded[name] = true;
          rows.forEach(function (row) { row.hidden = false; });
          more.remove();
        });
        table.after(more);
      });
    }

    // --- marks -----------------------------------------------------------------------------------

    function mark(marks) {
      var text = area.value;
      var at = 0;
      var pieces = [];
      marks.forEach(function (place) {
        if (place[0] < at) return;
        var piece = document.createElement("mark");
        piece.textContent = text.slice(place[0], place[1]);
        pieces.push(text.slice(at, place[0]), piece);
        at = place[1];
      });
      // a last empty line is as high as any other
      pieces.push(text.slice(at) + "\n");
      layer.replaceChildren.apply(layer, pieces);
      follow();
    }

    function follow() {
      layer.scrollTop = area.scrollTop;
      layer.scrollLeft = area.scrollLeft;
    }

    function select(place) {
      var ends = place.split("-").map(Number);
      area.focus();
      area.setSelectionRange(ends[0], ends[1]);
      var line = area.value.slice(0, ends[0]).split("\n").length - 1;
      area.scrollTop = Math.max(0, line * 20 - area.clientHeight / 2);
    }

    // --- the form --------------------------------------------------------------------------------

    // what was picked is the event no more once its text changes; its times stay
    area.addEventListener("input", function () {
      layer.replaceChildren();
      later();
    });
    headers.addEventListener("input", later);
    area.addEventListener("scroll", follow);
    new ResizeObserver(follow).observe(area);
    form.addEventListener("change", function (event) {
      if (event.target.tagName !== "SELECT") return;
      if (newest) {
        newest.elements.newest.value = form.elements.source.value;
        newest.elements.version.value = form.elements.version.value;
      }
      ask();
    });
    form.addEventListener("submit", function (event) {
      var by = event.submitter;
      event.preventDefault();
      if (by && by.matches("[data-try-part]")) form.querySelector('input[name="part"]').value = by.value;
      ask();
    });
    result.addEventListener("click", function (event) {
      var place = event.target.closest("[data-try-at]");
      if (place) select(place.dataset.tryAt);
    });

    function tidied() {
      try {
        // numbers would lose digits: only what survives unchanged is laid out anew
        var value = JSON.parse(area.value);
        var same = JSON.stringify(value) === area.value.replace(/("(?:[^"\\]|\\.)*")|\s+/g, "$1");
        return same ? JSON.stringify(value, null, 2) : "";
      } catch (error) {
        return "";
      }
    }

    tidy.hidden = false;
    tidy.addEventListener("click", function () {
      var text = tidied();
      if (text) {
        area.value = text;
        ask();
      } else {
        state.textContent = "It cannot be laid out without changing it: no JSON, or numbers that a browser would alter.";
      }
    });
    form.querySelector("[data-try-send]").hidden = true;
    if (area.value.trim()) ask();
    else fold();
  }

  document.querySelectorAll("[data-try]").forEach(box);
})();
