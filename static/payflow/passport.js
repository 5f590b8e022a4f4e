// The passport of a transaction, without inline code and without eval:
// - data-lazy: the archived bytes come after the page, and a lost archive leaves the rest
// - data-into: parts of what came that belong elsewhere on the page
// - tabs, folded tables, the two sides of the timeline, copying
(function () {
  "use strict";

  function all(root, selector, act) {
    Array.prototype.forEach.call(root.querySelectorAll(selector), act);
  }

  // --- what comes after the page -----------------------------------------------------------------

  function load(box) {
    fetch(box.dataset.lazy, { credentials: "same-origin", cache: "no-store", redirect: "error" })
      .then(function (response) {
        if (!response.ok) throw new Error(response.status);
        return response.text();
      })
      .then(function (html) { show(box, html); })
      .catch(function () { lost(box); });
  }

  function show(box, html) {
    var fresh = new DOMParser().parseFromString(html, "text/html").body;
    all(fresh, "[data-into]", function (part) {
      var place = document.getElementById(part.dataset.into);
      if (place) place.replaceChildren.apply(place, Array.from(part.childNodes));
      part.remove();
    });
    box.replaceChildren.apply(box, Array.from(fresh.childNodes));
    all(document, "[role=tablist]", tabs);
    all(document, "[data-fold]", fold);
    all(box, "[data-lazy-again]", function (button) {
      button.addEventListener("click", function () { load(box); });
    });
  }

  function lost(box) {
    box.querySelector(".sub").textContent = "payflow does not answer, or your login has ended";
    box.querySelector(".pf-card").setAttribute("aria-busy", "false");
  }

  // --- tabs: one tab stop, arrows move -----------------------------------------------------------

  function tabs(list) {
    var buttons = Array.from(list.querySelectorAll("[role=tab]"));

    function choose(index, focus) {
      var at = (index + buttons.length) % buttons.length;
      buttons.forEach(function (button, number) {
        button.setAttribute("aria-selected", number === at);
        button.tabIndex = number === at ? 0 : -1;
        document.getElementById(button.getAttribute("aria-controls")).hidden = number !== at;
      });
      if (focus) buttons[at].focus();
    }

    buttons.forEach(function (button, number) {
      button.addEventListener("click", function () { choose(number, false); });
      button.addEventListener("keydown", function (event) {
        if (event.key === "ArrowRight") choose(number + 1, true);
        else if (event.key === "ArrowLeft") choose(number - 1, true);
        else if (event.key === "Home") choose(0, true);
        else if (event.key === "End") choose(buttons.length - 1, true);
        else return;
        event.preventDefault();
      });
    });
  }

  // --- long tables -------------------------------------------------------------------------------

  function fold(table) {
    var rows = table.tBodies[0].rows;
    var rest = Array.from(rows).slice(Number(table.dataset.fold));
    delete table.dataset.fold;
    if (rest.length < 2) return;
    var button = document.createElement("button");
    button.type = "button";
    button.className = "pf-btn s";
    button.textContent = "Show all " + rows.length;
    rest.forEach(function (row) { row.hidden = true; });
    button.addEventListener("click", function () {
      rest.forEach(function (row) { row.hidden = false; });
      foot.remove();
    });
    var foot = document.createElement("div");
    foot.className = "pf-foot";
    foot.append(button);
    table.closest(".pf-card").append(foot);
  }

  // --- the two sides of the timeline -------------------------------------------------------------

  function sides(group) {
    var buttons = group.querySelectorAll("button");
    var steps = group.parentNode.querySelectorAll("li");
    group.hidden = false;
    group.addEventListener("click", function (event) {
      var chosen = event.target.closest("button");
      if (!chosen) return;
      buttons.forEach(function (button) { button.setAttribute("aria-pressed", button === chosen); });
      steps.forEach(function (step) {
        step.hidden = chosen.dataset.side !== "" && step.dataset.side !== chosen.dataset.side;
      });
    });
  }

  // --- copying -----------------------------------------------------------------------------------

  function copied(button) {
    var icon = button.querySelector(".pf-i");
    var before = icon.textContent;
    icon.textContent = "check";
    setTimeout(function () { icon.textContent = before; }, 1500);
  }

  all(document, "[data-copy]", function (button) {
    button.addEventListener("click", function () {
      navigator.clipboard.writeText(button.dataset.copy).then(function () { copied(button); });
    });
  });

  // the link opens the JSON where there is no clipboard: on http, or without scripts
  all(document, "a[href$='/passport.json']", function (link) {
    link.addEventListener("click", function (event) {
      if (!navigator.clipboard) return;
      event.preventDefault();
      fetch(link.href, { credentials: "same-origin" })
        .then(function (response) {
          if (!response.ok) throw new Error(response.status);
          return response.text();
        })
        .then(function (text) { return navigator.clipboard.writeText(text); })
        .then(function () { copied(link); })
        .catch(function () { location.assign(link.href); });
    });
  });

  all(document, "[data-sides]", sides);
  all(document, "[data-fold]", fold);
  all(document, "[data-lazy]", load);
})();
